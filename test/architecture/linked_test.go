package architecture

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// mostBinary is what the program may weigh, in MiB, as `make build` makes it.
const mostBinary = 30

// TestNothingLinksAllMethods: the linker leaves out what nothing calls unless something
// that is linked looks a method up by a name (reflect's MethodByName, which text/template
// and some libraries for command lines do): then it keeps every exported method of every
// type, which was a sixth of the binary, and four MiB of memory.
func TestNothingLinksAllMethods(t *testing.T) {
	makefile, err := os.ReadFile("../../Makefile")
	if err != nil {
		t.Fatal(err)
	}
	tags := regexp.MustCompile(`(?m)^TAGS\s*:=\s*(.*)$`).FindSubmatch(makefile)
	if tags == nil {
		t.Fatal("the Makefile has no TAGS")
	}
	program := filepath.Join(t.TempDir(), "agentgw")
	dump, err := exec.Command("go", "build", "-trimpath", "-tags", string(tags[1]), "-ldflags", "-s -w -dumpdep", "-o", program, "../../cmd/agentgw").CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, dump)
	}
	if !strings.Contains(string(dump), " -> main.main") {
		t.Fatal("the linker does not say what leads to what")
	}
	// "caller -> function <ReflectMethod>": once there is one, there are those of reflect, too.
	for _, edge := range regexp.MustCompile(`(?m)^.* -> .* <[^>]*ReflectMethod[^>]*>$`).FindAllString(string(dump), 5) {
		t.Errorf("%s: so all methods are linked", edge)
	}
	size, err := os.Stat(program)
	if err != nil {
		t.Fatal(err)
	}
	if got := float64(size.Size()) / (1 << 20); got >= mostBinary {
		t.Errorf("the binary has %.1f MiB, want less than %d", got, mostBinary)
	}
}
