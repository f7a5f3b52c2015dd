package config

import (
	"errors"
	"fmt"
	"io/fs"
	"regexp"
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
	// Editors add a byte order mark and blanks, which no credential has.
	value = strings.Trim(value, "\ufeff \t\r\n")
	if value == "" {
		r.problem("is blank", path...)
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
		return r.secretFile(rest, path...)
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
		if foreignReference.MatchString(reference) {
			r.problem("looks like a reference of another program, which would be sent as the secret itself; want env:NAME or file:/path", path...)
			return "", false
		}
		r.warn("contains the secret itself; use a reference, env:NAME or file:/path, instead", path...)
		return reference, true
	}
}

// foreignReference matches references to secrets in the syntax of other programs: ${NAME}, $NAME,
// {{ … }}, %NAME%, <…>, !secret, and a scheme such as vault: or ENV:.
var foreignReference = regexp.MustCompile(`^(\$\{.*\}|\$[A-Za-z_]\w*|\{\{.*\}\}|%\w+%|<.*>|!\w+ .*|(?i:env|file|vault|op|aws|awssm|ssm|gcp|gcpsm|azure|keyvault|secret|secrets|k8s|sops|stored|doppler|arn|projects)[:/].*)$`)

// secretFile reads a secret file. On a reload, one that cannot be read does not keep the rest of
// the configuration, such as the removal of a key, from taking effect: the last value stays.
func (r *resolver) secretFile(file string, path ...string) (value string, ok bool) {
	if value, ok := r.secretFiles[file]; ok {
		return value, value != ""
	}
	data, err := readInTime(r.source.readSecret, file)
	r.fileContents[file] = data
	value = strings.TrimRight(string(data), "\r\n")
	switch last, known := r.source.Previous.secretFile(file); {
	case err == nil && value != "":
	case known:
		r.warn(fmt.Sprintf("cannot read the secret file %s (%s); its last value stays in use", file, readError(err)), path...)
		value = last
	case err != nil:
		r.problem(fmt.Sprintf("cannot read the secret file %s: %s", file, readError(err)), path...)
	default:
		r.problem(fmt.Sprintf("the secret file %s is empty", file), path...)
	}
	r.secretFiles[file] = value
	return value, value != ""
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
	case err == errNotRegular, err == errTooLarge, err == errTooSlow:
		return err.Error()
	case err == nil:
		return "it is empty"
	}
	return "not readable"
}
