package page_test

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// browser is a headless Chromium, spoken to over its pipe (the DevTools protocol,
// messages ended by a zero byte), which needs neither a port nor a library.
type browser struct {
	t   *testing.T
	out *os.File

	mu      sync.Mutex
	next    int
	waiting map[int]chan message
	// complaints are what the page threw, logged as an error, or was forbidden.
	complaints []string
	requests   []string
}

// message is one of either direction.
type message struct {
	ID        int             `json:"id,omitempty"`
	Method    string          `json:"method,omitempty"`
	SessionID string          `json:"sessionId,omitempty"`
	Params    json.RawMessage `json:"params,omitempty"`
	Result    json.RawMessage `json:"result,omitempty"`
	Error     *struct {
		Message string `json:"message"`
	} `json:"error,omitempty"`
}

// required has a missing Chromium fail the test, which CI wants.
const required = "PAGE_TEST_REQUIRED"

// newBrowser starts Chromium, or skips the test where there is none.
func newBrowser(t *testing.T) *browser {
	t.Helper()
	path, err := exec.LookPath("chromium")
	if err != nil {
		if os.Getenv(required) != "" {
			t.Fatalf("there is no chromium, and %s is set", required)
		}
		t.Skip("NOT TESTED: there is no chromium to look at the page with (apt-get install chromium)")
	}
	commands, in, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	out, answers, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	profile := t.TempDir()
	cmd := exec.Command(path, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars",
		"--no-first-run", "--disable-extensions", "--disable-background-networking", "--disable-component-update",
		"--remote-debugging-pipe", "--user-data-dir="+profile, "about:blank")
	cmd.Env = append(os.Environ(), "HOME="+profile)
	cmd.ExtraFiles = []*os.File{commands, answers} // 3 and 4
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	commands.Close()
	answers.Close()
	b := &browser{t: t, out: in, waiting: map[int]chan message{}}
	read := make(chan struct{})
	go func() {
		defer close(read)
		b.read(out)
	}()
	t.Cleanup(func() {
		in.Close() // which ends it
		ended := make(chan error, 1)
		go func() { ended <- cmd.Wait() }()
		select {
		case <-ended:
		case <-time.After(10 * time.Second):
			cmd.Process.Kill()
			<-ended
		}
		out.Close()
		<-read
		removeAll(profile)
	})
	return b
}

// removeAll waits for the children of a browser to let go of its profile.
func removeAll(dir string) {
	for range 50 {
		if os.RemoveAll(dir) == nil {
			return
		}
		<-time.After(100 * time.Millisecond)
	}
}

func (b *browser) read(from *os.File) {
	in := bufio.NewReader(from)
	for {
		raw, err := in.ReadBytes(0)
		if err != nil {
			return
		}
		var m message
		if err := json.Unmarshal(raw[:len(raw)-1], &m); err != nil {
			continue
		}
		b.mu.Lock()
		if m.ID != 0 {
			b.waiting[m.ID] <- m
			delete(b.waiting, m.ID)
		} else {
			b.note(m)
		}
		b.mu.Unlock()
	}
}

// note remembers what a page should not do.
func (b *browser) note(m message) {
	switch m.Method {
	case "Runtime.exceptionThrown":
		b.complaints = append(b.complaints, string(m.Params))
	case "Log.entryAdded":
		if strings.Contains(string(m.Params), `"level":"error"`) {
			b.complaints = append(b.complaints, string(m.Params))
		}
	case "Network.requestWillBeSent":
		var sent struct {
			Request struct {
				URL string `json:"url"`
			} `json:"request"`
		}
		_ = json.Unmarshal(m.Params, &sent)
		b.requests = append(b.requests, sent.Request.URL)
	}
}

// do sends a command and stores its result.
func (b *browser) do(session, method string, params, result any) {
	b.t.Helper()
	raw, err := json.Marshal(params)
	if err != nil {
		b.t.Fatal(err)
	}
	answer := make(chan message, 1)
	b.mu.Lock()
	b.next++
	id := b.next
	b.waiting[id] = answer
	b.mu.Unlock()
	sent, err := json.Marshal(message{ID: id, Method: method, SessionID: session, Params: raw})
	if err != nil {
		b.t.Fatal(err)
	}
	if _, err := b.out.Write(append(sent, 0)); err != nil {
		b.t.Fatalf("%s: %v", method, err)
	}
	select {
	case m := <-answer:
		if m.Error != nil {
			b.t.Fatalf("%s: %s", method, m.Error.Message)
		}
		if result != nil {
			if err := json.Unmarshal(m.Result, result); err != nil {
				b.t.Fatalf("%s: %v", method, err)
			}
		}
	case <-time.After(patience):
		b.t.Fatalf("%s: no answer from Chromium", method)
	}
}

// tab is one page.
type tab struct {
	*browser
	session string
}

// look is how a page is looked at.
type look struct {
	name          string
	width, height int
	dark, phone   bool
}

// open shows a URL.
func (b *browser) open(url string, as look) *tab {
	b.t.Helper()
	var target struct {
		TargetID string `json:"targetId"`
	}
	b.do("", "Target.createTarget", map[string]any{"url": "about:blank"}, &target)
	var attached struct {
		SessionID string `json:"sessionId"`
	}
	b.do("", "Target.attachToTarget", map[string]any{"targetId": target.TargetID, "flatten": true}, &attached)
	p := &tab{b, attached.SessionID}
	for _, domain := range []string{"Page", "Runtime", "Log", "Network"} {
		b.do(p.session, domain+".enable", struct{}{}, nil)
	}
	p.as(as)
	b.do(p.session, "Page.navigate", map[string]any{"url": url}, nil)
	return p
}

// as changes how the page is looked at.
func (p *tab) as(as look) {
	p.t.Helper()
	scheme := "light"
	if as.dark {
		scheme = "dark"
	}
	p.do(p.session, "Emulation.setEmulatedMedia", map[string]any{"features": []any{map[string]any{"name": "prefers-color-scheme", "value": scheme}}}, nil)
	p.do(p.session, "Emulation.setDeviceMetricsOverride", map[string]any{
		"width": as.width, "height": as.height, "deviceScaleFactor": 1, "mobile": as.phone,
	}, nil)
}

// eval returns what an expression of JavaScript comes to.
func (p *tab) eval(expression string) any {
	p.t.Helper()
	var got struct {
		Result struct {
			Value any `json:"value"`
		} `json:"result"`
		ExceptionDetails json.RawMessage `json:"exceptionDetails"`
	}
	p.do(p.session, "Runtime.evaluate", map[string]any{"expression": expression, "returnByValue": true}, &got)
	if got.ExceptionDetails != nil {
		p.t.Fatalf("%s: %s", expression, got.ExceptionDetails)
	}
	return got.Result.Value
}

// until polls for an expression to come true.
func (p *tab) until(expression string) {
	p.t.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	late := time.After(patience)
	for p.eval(expression) != true {
		select {
		case <-tick.C:
		case <-late:
			p.t.Fatalf("waited %v for %s; the page is\n%v", patience, expression, p.eval("document.body.innerText"))
		}
	}
}

// screenshot writes the whole page, however long, as a PNG.
func (p *tab) screenshot(name string) {
	p.t.Helper()
	var shot struct {
		Data string `json:"data"`
	}
	p.do(p.session, "Page.captureScreenshot", map[string]any{"format": "png", "captureBeyondViewport": true}, &shot)
	raw, err := base64.StdEncoding.DecodeString(shot.Data)
	if err != nil {
		p.t.Fatal(err)
	}
	dir := os.Getenv("PAGE_SCREENSHOTS")
	if dir == "" {
		dir = p.t.TempDir()
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		p.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, name+".png"), raw, 0o644); err != nil {
		p.t.Fatal(err)
	}
}

// close ends the tab.
func (p *tab) close() {
	p.do(p.session, "Page.close", struct{}{}, nil)
}

// check fails for whatever the page should not have done: errors, violations of its
// policy, and requests to anybody but its own origin.
func (b *browser) check(origin string) {
	b.t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, c := range b.complaints {
		b.t.Errorf("the page complains: %s", c)
	}
	for _, r := range b.requests {
		if !strings.HasPrefix(r, origin+"/") && !strings.HasPrefix(r, "data:") && r != "about:blank" {
			b.t.Errorf("the page asks for %s", r)
		}
	}
	if len(b.requests) == 0 {
		b.t.Error(fmt.Errorf("no request was seen"))
	}
}
