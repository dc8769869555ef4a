package process

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// tick is the unit of /proc/PID/stat: USER_HZ, which is 100 on every Linux that
// Go runs on.
const tick = time.Second / 100

// Members returns the process ids of the program and of what it started.
func (p *Process) Members() ([]int, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, err
	}
	var members []int
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		// A process that ended since is not a member.
		if s, err := readStat(pid); err == nil && s.group == p.cmd.Process.Pid {
			members = append(members, pid)
		}
	}
	return members, nil
}

// CPU returns the user and system time that the processes have used.
func CPU(pids []int) (time.Duration, error) {
	var sum time.Duration
	for _, pid := range pids {
		s, err := readStat(pid)
		if err != nil {
			return 0, err
		}
		sum += s.cpu
	}
	return sum, nil
}

// RSS returns the resident memory of the processes, in bytes.
func RSS(pids []int) (int64, error) {
	var sum int64
	for _, pid := range pids {
		raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
		if err != nil {
			return 0, err
		}
		fields := bytes.Fields(raw)
		if len(fields) < 2 {
			return 0, fmt.Errorf("process: unexpected statm %q", raw)
		}
		pages, err := strconv.ParseInt(string(fields[1]), 10, 64)
		if err != nil {
			return 0, err
		}
		sum += pages * int64(os.Getpagesize())
	}
	return sum, nil
}

type stat struct {
	group int
	cpu   time.Duration
}

func readStat(pid int) (stat, error) {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return stat{}, err
	}
	return parseStat(string(raw))
}

// parseStat reads the fields pgrp, utime and stime of proc_pid_stat(5).
func parseStat(raw string) (stat, error) {
	// The second field, the name in parentheses, may hold anything.
	after := strings.LastIndexByte(raw, ')')
	fields := strings.Fields(raw[after+1:])
	const pgrp, utime, stime = 5 - 3, 14 - 3, 15 - 3
	if after < 0 || len(fields) <= stime {
		return stat{}, fmt.Errorf("process: unexpected stat %q", raw)
	}
	group, err := strconv.Atoi(fields[pgrp])
	if err != nil {
		return stat{}, err
	}
	user, err := strconv.ParseInt(fields[utime], 10, 64)
	if err != nil {
		return stat{}, err
	}
	system, err := strconv.ParseInt(fields[stime], 10, 64)
	if err != nil {
		return stat{}, err
	}
	return stat{group: group, cpu: time.Duration(user+system) * tick}, nil
}
