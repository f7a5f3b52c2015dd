package sandbox

import (
	"net/http"
	"strconv"
	"time"
)

// Fault is something that goes wrong at a vendor. Its zero value matches every
// request and does nothing.
type Fault struct {
	// Method and Path, where set, restrict it to requests that have both; Path
	// is the whole escaped path.
	Method, Path string
	// Skip lets so many matching requests pass before it begins; Times is how
	// many it then spoils, 0 for all.
	Skip, Times int

	// Done has the vendor do what it is asked before what follows; Late does it so
	// much later, whether the client is still there or not, and breaks.
	Done bool
	Late time.Duration

	Delay time.Duration // before anything else
	Hang  bool          // accept the request and never answer
	Reset bool          // break the connection before the first byte

	// Status, Header and Body, where Status is set, are the answer in place of
	// the vendor's own.
	Status int
	Header map[string]string
	Body   string

	// What becomes of the body, the vendor's or the fault's.
	Drip   time.Duration       // one byte at a time, with this pause between
	Cut    bool                // announce all of it, send half, and break
	Change func([]byte) []byte // another body
}

// Fail adds a fault. Faults are tried in the order they were added.
func (s *Server) Fail(f Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = append(s.faults, &f)
}

// Heal ends all faults.
func (s *Server) Heal() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = nil
}

// takeFault is the fault that spoils this request; nil for none.
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

// interrupt does what happens before an answer; done means that there is none.
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

// distort does what happens to an answer's body; done means that it was sent.
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

// abort breaks the connection; net/http knows the panic and logs nothing.
func abort(http.ResponseWriter) { panic(http.ErrAbortHandler) }

// wait is false if the client left meanwhile.
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
