package main

import (
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

// target is a request.
type target struct {
	url     string
	headers map[string]string
	script  string // of wrk; may be empty
}

// connections is the number of connections that wrk keeps busy.
const connections = 32

var (
	wrkRequests = regexp.MustCompile(`(\d+) requests in`)
	wrkErrors   = regexp.MustCompile(`Non-2xx or 3xx responses: (\d+)|Socket errors: (.*)`)
)

// closed keeps connections busy with wrk and returns the CPU time of the process per request.
func closed(t target, p *process, length time.Duration) (perRequest time.Duration, err error) {
	arguments := []string{"-c", strconv.Itoa(connections), "-t", "2", "-d", fmt.Sprint(length)}
	for name, value := range t.headers {
		arguments = append(arguments, "-H", name+": "+value)
	}
	if t.script != "" {
		arguments = append(arguments, "-s", t.script)
	}
	before, err := p.cpu()
	if err != nil {
		return 0, err
	}
	out, err := exec.Command("wrk", append(arguments, t.url)...).CombinedOutput()
	if err != nil {
		return 0, fmt.Errorf("wrk: %w: %s", err, out)
	}
	after, err := p.cpu()
	if err != nil {
		return 0, err
	}
	if failed := wrkErrors.Find(out); failed != nil {
		return 0, fmt.Errorf("%s: %s", t.url, failed)
	}
	counted := wrkRequests.FindSubmatch(out)
	if counted == nil {
		return 0, fmt.Errorf("wrk printed %s", out)
	}
	requests, err := strconv.Atoi(string(counted[1]))
	if err != nil || requests == 0 {
		return 0, fmt.Errorf("wrk made %d requests: %w", requests, err)
	}
	return (after - before) / time.Duration(requests), nil
}

// warmUp is the time before open measures.
const warmUp = time.Second

// open sends perSecond requests a second, whatever becomes of them, and returns sorted
// latencies. A latency counts from when the request was to be sent: a server that falls behind
// gets no time to catch up. Requests before warmUp only open connections.
func open(t target, perSecond int, length time.Duration) (took []time.Duration, failed int, err error) {
	client := &http.Client{Timeout: time.Minute, Transport: &http.Transport{MaxIdleConnsPerHost: 1024, DisableCompression: true}}
	defer client.CloseIdleConnections()
	var mu sync.Mutex
	var wg sync.WaitGroup
	start, interval := time.Now(), time.Second/time.Duration(perSecond)
	for i := range int((warmUp + length) / interval) {
		intended := start.Add(time.Duration(i) * interval)
		time.Sleep(time.Until(intended))
		wg.Go(func() {
			_, _, err := fetchWith(client, t)
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

func quantile(sorted []time.Duration, q float64) time.Duration {
	return sorted[min(len(sorted)-1, int(q*float64(len(sorted))))]
}

// fetch sends a request and returns the body and header of its response, which must be 200.
func fetch(t target) ([]byte, http.Header, error) { return fetchWith(http.DefaultClient, t) }

func fetchWith(client *http.Client, t target) ([]byte, http.Header, error) {
	req, err := http.NewRequest(http.MethodGet, t.url, nil)
	if err != nil {
		return nil, nil, err
	}
	for name, value := range t.headers {
		req.Header.Set(name, value)
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %d: %.200s", t.url, resp.StatusCode, body)
	}
	return body, resp.Header, err
}
