// Command bare does the least that a program on the gateway's libraries can do to produce the
// same bytes. The gateway is measured against it.
//
//	bare -fixed body.json             sends a fixed body from memory
//	bare -proxy http://…/agents/1     passes on the response of one upstream
//	bare -merge http://a,http://b,…   joins the bodies of several upstreams without reading them
//
// With -observed it also does what every response of a gateway needs; see observe. It prints
// its address and runs until it is killed.
package main

import (
	"flag"
	"fmt"
	"log"
	"net"
	"os"
	"strings"
	"sync"

	"github.com/gofiber/fiber/v2"
	"github.com/valyala/fasthttp"
)

func main() {
	fixed := flag.String("fixed", "", "file of the body")
	proxy := flag.String("proxy", "", "URL")
	merge := flag.String("merge", "", "URLs, parted by commas")
	observed := flag.Bool("observed", false, "with a key, a request id, a span, metrics and an access line")
	flag.Parse()
	with := func(handler fasthttp.RequestHandler) fasthttp.RequestHandler { return handler }
	if *observed {
		with = observe
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("http://%s\n", l.Addr())
	client := &fasthttp.Client{MaxConnsPerHost: 512, MaxIdemponentCallAttempts: 1}
	switch {
	case *fixed != "":
		body, err := os.ReadFile(*fixed)
		if err != nil {
			log.Fatal(err)
		}
		app := fiber.New(fiber.Config{DisableStartupMessage: true})
		app.Get("/*", func(c *fiber.Ctx) error {
			c.Set(fiber.HeaderContentType, fiber.MIMEApplicationJSON)
			return c.Send(body)
		})
		app.Server().Handler = with(app.Handler())
		log.Fatal(app.Listener(l))
	case *proxy != "":
		log.Fatal((&fasthttp.Server{Handler: with(func(c *fasthttp.RequestCtx) {
			if err := ask(client, *proxy, &c.Response); err != nil {
				c.Error(err.Error(), fasthttp.StatusBadGateway)
			}
		})}).Serve(l))
	case *merge != "":
		upstreams := strings.Split(*merge, ",")
		log.Fatal((&fasthttp.Server{Handler: with(func(c *fasthttp.RequestCtx) { join(c, client, upstreams) })}).Serve(l))
	}
	log.Fatal("say what it should be: -fixed, -proxy or -merge")
}

func ask(client *fasthttp.Client, url string, into *fasthttp.Response) error {
	req := fasthttp.AcquireRequest()
	defer fasthttp.ReleaseRequest(req)
	req.SetRequestURI(url)
	req.Header.Set("Authorization", "Bearer bench")
	req.Header.Set("X-API-Key", "bench")
	return client.Do(req, into)
}

func join(c *fasthttp.RequestCtx, client *fasthttp.Client, upstreams []string) {
	replies := make([]*fasthttp.Response, len(upstreams))
	errs := make([]error, len(upstreams))
	var wg sync.WaitGroup
	for i, url := range upstreams {
		wg.Go(func() {
			replies[i] = fasthttp.AcquireResponse()
			errs[i] = ask(client, url, replies[i])
		})
	}
	wg.Wait()
	c.SetContentType("application/json")
	for i, r := range replies {
		if errs[i] != nil {
			c.Error(errs[i].Error(), fasthttp.StatusBadGateway)
		}
		_, _ = c.Write(r.Body())
		fasthttp.ReleaseResponse(r)
	}
}
