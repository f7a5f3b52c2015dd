package sandbox

import (
	"net/http"
	"strconv"
	"time"
)

// Fault is a failure of a provider. Its zero value matches every request and does nothing.
type Fault struct {
	// Method and Path, if they are set, restrict the fault to requests that have both. Path is
	// the whole escaped path.
	Method, Path string
	// Skip is the number of matching requests before the fault begins, and Times the number that
	// it then affects, 0 for all.
	Skip, Times int

	// Done makes the provider handle the request before the fault. Late makes it handle the
	// request after that time, even if the client is gone, and then break the connection.
	Done bool
	Late time.Duration

	Delay time.Duration // before anything else
	Hang  bool          // accept the request and never answer
	Reset bool          // break the connection before the first byte

	// Status, Header and Body replace the provider's response, if Status is set.
	Status int
	Header map[string]string
	Body   string

	// What happens to the body of the response.
	Drip   time.Duration       // one byte at a time, with this pause between
	Cut    bool                // announce all of it, send half, and break
	Change func([]byte) []byte // another body
}

// Fail adds a fault. The first fault that matches a request is used.
func (s *Server) Fail(f Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = append(s.faults, &f)
}

// Heal removes all faults.
func (s *Server) Heal() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = nil
}

// takeFault returns the fault for a request, or nil.
func (s *Server) takeFault(r *http.Request) *Fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, f := range s.faults {
		if f.Method != "" && f.Method != r.Method || f.Path != "" && f.Path != r.URL.EscapedPath() {
			continue
		}
		if f.Skip > 0 {
			f.Skip--
			continue
		}
		if f.Times == 1 {
			s.faults = append(s.faults[:i:i], s.faults[i+1:]...)
		} else if f.Times > 1 {
			f.Times--
		}
		return f
	}
	return nil
}

// interrupt does what the fault does before a response. If it returns true, there is none.
func (f *Fault) interrupt(w http.ResponseWriter, r *http.Request) (done bool) {
	if f == nil {
		return false
	}
	if f.Delay > 0 && !wait(r, f.Delay) {
		return true
	}
	if f.Hang {
		<-r.Context().Done()
		return true
	}
	if f.Reset {
		abort(w)
		return true
	}
	return false
}

// distort sends a response as the fault changes it. If it returns false, nothing was sent.
func (f *Fault) distort(w http.ResponseWriter, r *http.Request, status int, body []byte) (done bool) {
	if f == nil {
		return false
	}
	if f.Change != nil {
		body = f.Change(body)
	}
	switch {
	case f.Cut:
		w.Header().Set("Content-Length", strconv.Itoa(len(body)))
		w.WriteHeader(status)
		_, _ = w.Write(body[:len(body)/2])
		flush(w)
		abort(w)
	case f.Drip > 0:
		w.WriteHeader(status)
		for _, b := range body {
			if _, err := w.Write([]byte{b}); err != nil {
				return true
			}
			flush(w)
			if !wait(r, f.Drip) {
				return true
			}
		}
	default:
		w.WriteHeader(status)
		_, _ = w.Write(body)
	}
	return true
}

func flush(w http.ResponseWriter) { _ = http.NewResponseController(w).Flush() }

// abort closes the connection. net/http does not log this panic.
func abort(http.ResponseWriter) { panic(http.ErrAbortHandler) }

// wait waits for d. It returns false if the client leaves first.
func wait(r *http.Request, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-r.Context().Done():
		return false
	}
}
