// Package agentgw has the files of this folder that the program brings along.
package agentgw

import _ "embed"

// ConfigFile is config.yaml, which explains every setting; agentgw config init writes it.
//
//go:embed config.yaml
var ConfigFile []byte
