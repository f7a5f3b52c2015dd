package main

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
)

// nginxConfig configures a cache in front of an upstream, in one process and without a log.
const nginxConfig = `daemon off; master_process off; pid FOLDER/nginx.pid; error_log FOLDER/nginx.log;
events { worker_connections 1024; }
http {
  access_log off; keepalive_requests 1000000000; client_body_temp_path FOLDER/body; proxy_temp_path FOLDER/proxy;
  fastcgi_temp_path FOLDER/fastcgi; uwsgi_temp_path FOLDER/uwsgi; scgi_temp_path FOLDER/scgi;
  proxy_cache_path FOLDER/cache keys_zone=bench:10m;
  server { listen ADDRESS; location / { proxy_pass UPSTREAM; proxy_cache bench; proxy_cache_valid 200 1h; } }
}
`

// nginx starts an nginx that has an upstream's response in its cache. It returns nil if nginx
// is not installed.
func (b *bench) nginx(upstream string) (*process, string, error) {
	program, err := exec.LookPath("nginx")
	if err != nil {
		return nil, "", nil
	}
	address, err := free()
	if err != nil {
		return nil, "", err
	}
	folder, err := os.MkdirTemp(b.folder, "nginx-")
	if err != nil {
		return nil, "", err
	}
	config := strings.NewReplacer("FOLDER", folder, "ADDRESS", address, "UPSTREAM", upstream).Replace(nginxConfig)
	if err := os.WriteFile(folder+"/nginx.conf", []byte(config), 0o600); err != nil {
		return nil, "", err
	}
	p, err := run(true, nil, program, "-c", folder+"/nginx.conf")
	if err != nil {
		return nil, "", err
	}
	b.started(p)
	p.drain()
	if err := listening(p, address); err != nil {
		return nil, "", fmt.Errorf("nginx: %w", err)
	}
	_, _, err = fetch(target{url: "http://" + address + "/x"}) // fills the cache
	return p, "http://" + address, err
}
