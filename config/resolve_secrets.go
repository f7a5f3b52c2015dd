package config

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/agentgw/agentgw/config/secret"
	"github.com/agentgw/agentgw/normalize"
)

// secret resolves a secret reference. No message contains the value.
func (r *resolver) secret(reference string, path ...string) secret.String {
	value, ok := r.secretValue(reference, path...)
	if !ok {
		return secret.String{}
	}
	if strings.ContainsFunc(value, func(c rune) bool { return c < ' ' || c == 0x7f }) {
		r.problem("the secret contains a line break or another control character", path...)
		return secret.String{}
	}
	return secret.New(value)
}

// secretValue returns the value that a reference stands for. ok is false if a problem was
// reported.
func (r *resolver) secretValue(reference string, path ...string) (value string, ok bool) {
	switch scheme, rest, _ := strings.Cut(reference, ":"); scheme {
	case "env":
		r.usedEnv[rest] = true
		value, ok := r.source.LookupEnv(rest)
		if !ok || value == "" {
			r.problem(fmt.Sprintf("the environment variable %s is not set", rest), path...)
			return "", false
		}
		return value, true
	case "file":
		data, err := r.source.ReadFile(rest)
		if err != nil {
			r.problem(fmt.Sprintf("cannot read the secret file %s: %s", rest, readError(err)), path...)
			return "", false
		}
		value := strings.TrimRight(string(data), "\r\n")
		if value == "" {
			r.problem(fmt.Sprintf("the secret file %s is empty", rest), path...)
			return "", false
		}
		return value, true
	default:
		if reference == "" {
			r.problem("is empty; want env:NAME or file:/path", path...)
			return "", false
		}
		if strings.Contains(reference, ":") {
			if near := normalize.Nearest(scheme, []string{"env", "file"}); near != "" {
				r.problem("is not a secret reference; did you mean "+near+":?", path...)
				return "", false
			}
		}
		r.warn("contains the secret itself; use a reference, env:NAME or file:/path, instead", path...)
		return reference, true
	}
}

// minLength reports a secret that is set and too short.
func (r *resolver) minLength(s secret.String, minimum int, path ...string) {
	if n := len(s.Reveal()); n > 0 && n < minimum {
		r.problem(fmt.Sprintf("must have at least %d characters", minimum), path...)
	}
}

// readError describes why a file cannot be read, without its path or content.
func readError(err error) string {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "no such file"
	case errors.Is(err, fs.ErrPermission):
		return "permission denied"
	}
	return "not readable"
}
