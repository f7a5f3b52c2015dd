package catalog

import "encoding/base64"

func WeakETag(sum []byte) string { return `W/"` + base64.RawURLEncoding.EncodeToString(sum[:18]) + `"` }
