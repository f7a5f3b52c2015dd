package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"sync"
	"time"
)

// target is what is asked.
type target struct {
	url     string
	headers map[string]string
	script  string // of wrk; empty for none
}

// connections is how many wrk keeps busy.
const connections = 32

var (
	wrkRequests = regexp.MustCompile(`(\d+) requests in`)
	wrkErrors   = regexp.MustCompile(`Non-2xx or 3xx responses: (\d+)|Socket errors: (.*)`)
)

// closed keeps connections busy for so long (wrk), and is how much of the process' CPU time
// a request took.
func closed(t target, p *process, length time.Duration) (perRequest time.Duration, perSecond float64, err error) {
	arguments := []string{"-c", strconv.Itoa(connections), "-t", "2", "-d", fmt.Sprint(length)}
	for name, value := range t.headers {
		arguments = append(arguments, "-H", name+": "+value)
	}
	if t.script != "" {
		arguments = append(arguments, "-s", t.script)
	}
	before, err := p.cpu()
	if err != nil {
		return 0, 0, err
	}
	out, err := exec.Command("wrk", append(arguments, t.url)...).CombinedOutput()
	if err != nil {
		return 0, 0, fmt.Errorf("wrk: %w: %s", err, out)
	}
	after, err := p.cpu()
	if err != nil {
		return 0, 0, err
	}
	if failed := wrkErrors.Find(out); failed != nil {
		return 0, 0, fmt.Errorf("%s: %s", t.url, failed)
	}
	counted := wrkRequests.FindSubmatch(out)
	if counted == nil {
		return 0, 0, fmt.Errorf("wrk said %s", out)
	}
	requests, err := strconv.Atoi(string(counted[1]))
	if err != nil || requests == 0 {
		return 0, 0, fmt.Errorf("wrk made %d requests: %w", requests, err)
	}
	return (after - before) / time.Duration(requests), float64(requests) / length.Seconds(), nil
}

const warmUp = time.Second

// open sends so many requests a second, whatever becomes of them, and is how long each took
// from when it was to be sent: a server that falls behind is not given time to catch up. What
// is sent before warmUp is over makes connections, and is not counted.
func open(t target, perSecond int, length time.Duration) (took []time.Duration, failed int, err error) {
	client := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 1024, DisableCompression: true}}
	defer client.CloseIdleConnections()
	var mu sync.Mutex
	var wg sync.WaitGroup
	start, interval := time.Now(), time.Second/time.Duration(perSecond)
	for i := range int((warmUp + length) / interval) {
		intended := start.Add(time.Duration(i) * interval)
		time.Sleep(time.Until(intended))
		wg.Go(func() {
			err := ask(client, t)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				failed++
				return
			}
			if intended.Sub(start) >= warmUp {
				took = append(took, time.Since(intended))
			}
		})
	}
	wg.Wait()
	if len(took) == 0 {
		return nil, failed, fmt.Errorf("%s: all of %d requests failed", t.url, failed)
	}
	slices.Sort(took)
	return took, failed, nil
}

func ask(client *http.Client, t target) error {
	req, err := http.NewRequestWithContext(context.Background(), http.MethodGet, t.url, nil)
	if err != nil {
		return err
	}
	for name, value := range t.headers {
		req.Header.Set(name, value)
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("status %d", resp.StatusCode)
	}
	return nil
}

func quantile(sorted []time.Duration, q float64) time.Duration {
	return sorted[min(len(sorted)-1, int(q*float64(len(sorted))))]
}
