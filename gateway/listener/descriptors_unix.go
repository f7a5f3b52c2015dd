//go:build unix

package listener

import "syscall"

// descriptorLimit returns how many descriptors the process may have; false if that is not known.
func descriptorLimit() (limit int, known bool) {
	var l syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l); err != nil {
		return 0, false
	}
	return int(min(l.Cur, 1<<30)), true
}
