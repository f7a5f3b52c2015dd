package migratecli

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/agentgw/agentgw/cmd/agentgw/cli"
	"github.com/agentgw/agentgw/cmd/agentgw/migratecli/client"
)

const (
	planFileExtension = ".json"
	planFileObject    = "migration_plans"
)

// planFile is what `plan --out` writes and `apply FILE` reads: the migrations as the API
// returned them, with prompts and all.
type planFile struct {
	Object     string            `json:"object"`
	CreatedAt  time.Time         `json:"created_at"`
	Migrations []json.RawMessage `json:"migrations"`
}

// checkPlanFile returns an error if a plan cannot be written to the file.
func checkPlanFile(file string) error {
	if file == "" {
		return nil
	}
	if filepath.Ext(file) != planFileExtension {
		return cli.UsageErrorf("--out %s: want a file with the extension %s", file, planFileExtension)
	}
	if info, err := os.Stat(filepath.Dir(file)); err != nil || !info.IsDir() {
		return cli.UsageErrorf("--out %s: the directory does not exist", file)
	}
	return nil
}

// writePlanFile writes the plans, readable by their owner only. An earlier plan file is
// replaced; any other file is not.
func writePlanFile(file string, migrations []json.RawMessage) error {
	if existing, err := os.ReadFile(file); err == nil {
		if _, err := decodePlanFile(file, existing); err != nil {
			return cli.UsageErrorf("--out %s: the file exists, is no plan file, and is not replaced", file)
		}
	}
	text, err := cli.MarshalIndent(planFile{Object: planFileObject, CreatedAt: time.Now().UTC().Truncate(time.Second), Migrations: migrations})
	if err != nil {
		return err
	}
	if err := os.WriteFile(file, append(text, '\n'), 0o600); err != nil {
		return fmt.Errorf("--out: %w", err)
	}
	return nil
}

// readPlanFile returns the plan hashes in a plan file, by migration.
func readPlanFile(file string) (map[string]string, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, cli.UsageErrorf("plan file: %w", err)
	}
	return decodePlanFile(file, data)
}

func decodePlanFile(file string, data []byte) (map[string]string, error) {
	var plans planFile
	if json.Unmarshal(data, &plans) != nil || plans.Object != planFileObject || len(plans.Migrations) == 0 {
		return nil, cli.UsageErrorf("%s: not a plan file; agentgw migrate plan --out FILE%s writes one", file, planFileExtension)
	}
	hashes := map[string]string{}
	for _, raw := range plans.Migrations {
		var m client.Migration
		if err := json.Unmarshal(raw, &m); err != nil || m.ID == "" || m.PlanHash == "" {
			return nil, cli.UsageErrorf("%s: a migration has no id or no plan_hash", file)
		}
		hashes[m.ID] = m.PlanHash
	}
	return hashes, nil
}
