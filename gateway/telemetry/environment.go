package telemetry

import (
	"fmt"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
)

// checkEnvironment returns the mistakes in the variables that the OpenTelemetry SDK reads by
// itself: it ignores them in silence, or prints them with their values. The mistakes have no
// value, which may be a secret.
func checkEnvironment(environ []string) (mistakes []error) {
	environ = slices.Sorted(slices.Values(environ))
	for _, pair := range environ {
		name, value, _ := strings.Cut(pair, "=")
		if !strings.HasPrefix(name, "OTEL_") || value == "" {
			continue
		}
		for _, check := range environmentChecks {
			if strings.HasSuffix(name, check.suffix) && !check.ok(value) {
				mistakes = append(mistakes, fmt.Errorf("%s: must be %s", name, check.want))
			}
		}
	}
	return mistakes
}

// environmentChecks check variables by the end of their names.
var environmentChecks = []struct {
	suffix, want string
	ok           func(value string) bool
}{
	{"_ENDPOINT", "a URL such as http://localhost:4318", isURL},
	{"_HEADERS", "name=value pairs, separated by commas and percent-encoded", isHeaders},
	{"_COMPRESSION", "gzip or none", func(value string) bool { return value == "gzip" || value == "none" }},
	{"_CERTIFICATE", "a file that can be read", isFile},
	{"_CLIENT_KEY", "a file that can be read", isFile},
	{"_TIMEOUT", "an integer, in milliseconds", isInteger},
	{"_INTERVAL", "an integer, in milliseconds", isInteger},
	{"_DELAY", "an integer, in milliseconds", isInteger},
	{"_BATCH_SIZE", "an integer", isInteger},
	{"_LIMIT", "an integer", isInteger},
}

func isURL(value string) bool {
	u, err := url.Parse(value)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != ""
}

func isHeaders(value string) bool {
	for pair := range strings.SplitSeq(value, ",") {
		name, text, ok := strings.Cut(pair, "=")
		_, err := url.PathUnescape(text)
		if !ok || strings.TrimSpace(name) == "" || err != nil {
			return false
		}
	}
	return true
}

func isFile(value string) bool {
	f, err := os.Open(value)
	if err != nil {
		return false
	}
	return f.Close() == nil
}

func isInteger(value string) bool {
	n, err := strconv.Atoi(value)
	return err == nil && n >= 0
}
