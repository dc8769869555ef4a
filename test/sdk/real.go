package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
)

// isLive says that there is a real Qdrant to play with.
func (o *options) isLive() bool { return len(o.live.Nodes) > 0 }

func (o *options) livePlace() place { return place{o.live.Nodes[0], o.live.REST} }

// cleanedUp has a real Qdrant without the collections that what is done leaves there.
func (l *laboratory) cleanedUp(ctx context.Context, at place, do func() error) error {
	if !l.isLive() {
		return do() // it ends
	}
	before, err := collections(ctx, at)
	if err != nil {
		return err
	}
	err = do()
	after, listing := collections(ctx, at)
	err = errors.Join(err, listing)
	for _, name := range after {
		if !slices.Contains(before, name) {
			err = errors.Join(err, ask(ctx, http.MethodDelete, at, "/collections/"+url.PathEscape(name), nil))
		}
	}
	return err
}

// collections returns the names of those that there are.
func collections(ctx context.Context, at place) (names []string, err error) {
	var answer struct {
		Result struct{ Collections []struct{ Name string } }
	}
	if err := ask(ctx, http.MethodGet, at, "/collections", &answer); err != nil {
		return nil, err
	}
	for _, c := range answer.Result.Collections {
		names = append(names, c.Name)
	}
	return names, nil
}

// ask makes a request over REST, and reads its answer unless into is nil.
func ask(ctx context.Context, verb string, at place, path string, into any) error {
	request, err := http.NewRequestWithContext(ctx, verb, "http://"+at.rest+path, http.NoBody)
	if err != nil {
		return err
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("%s %s: %s", verb, path, answer.Status)
	}
	if into == nil {
		return nil
	}
	return json.NewDecoder(answer.Body).Decode(into)
}
