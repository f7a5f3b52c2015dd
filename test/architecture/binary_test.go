package architecture

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/agentgw/agentgw/test/internal/prebuilt"
)

// TestBinary_LinksNoMethodByName tests that nothing in the program makes the linker keep
// every exported method of every type. Something does if it calls reflect's MethodByName,
// as text/template and some command-line libraries do: a sixth more binary, and four MiB
// more memory.
func TestBinary_LinksNoMethodByName(t *testing.T) {
	links, err := os.ReadFile(prebuilt.Path(t, prebuilt.LinkerDump))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(links), " -> main.main") {
		t.Fatal("the linker's dump does not name main.main")
	}
	// "caller -> function <ReflectMethod>". If there is one, reflect's own follow.
	for _, edge := range regexp.MustCompile(`(?m)^.* -> .* <[^>]*ReflectMethod[^>]*>$`).FindAllString(string(links), 5) {
		t.Errorf("%s makes the linker keep all methods", edge)
	}
}

// maxBinary is the limit of the program's size, in MiB, as `make build` builds it.
const maxBinary = 32

func TestBinary_Size(t *testing.T) {
	info, err := os.Stat(prebuilt.Path(t, prebuilt.Agentgw))
	if err != nil {
		t.Fatal(err)
	}
	if got := float64(info.Size()) / (1 << 20); got >= maxBinary {
		t.Errorf("the binary has %.1f MiB, want less than %d", got, maxBinary)
	}
}
