// Command build builds the programs that tests run: agentgw into the folder that is named,
// other tools into the user's cache. Without Python or npm it leaves out what needs them, as the
// tests do.
package main

import (
	"log"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/agentgw/agentgw/test/internal/npmtest"
	"github.com/agentgw/agentgw/test/internal/prebuilt"
)

func main() {
	log.SetFlags(0)
	if len(os.Args) != 2 {
		log.Fatal("usage: build FOLDER")
	}
	if err := prebuilt.BuildAgentgw(os.Args[1]); err != nil {
		log.Fatal(err)
	}
	tools := []func() (string, error){prebuilt.Collector, prebuilt.OAPICodegen}
	if _, err := exec.LookPath("python3"); err == nil {
		tools = append(tools, prebuilt.PythonClient)
	}
	for _, tool := range tools {
		if _, err := tool(); err != nil {
			log.Fatal(err)
		}
	}
	if _, err := exec.LookPath("npm"); err != nil {
		return
	}
	root, err := prebuilt.Root()
	if err != nil {
		log.Fatal(err)
	}
	if err := npmtest.InstallAll(filepath.Join(root, "gateway/console/web")); err != nil {
		log.Fatal(err)
	}
}
