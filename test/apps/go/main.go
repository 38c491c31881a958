// SPDX-License-Identifier: Apache-2.0

// A static program with a runtime of its own, in the roles of test/apps/go.py.
package main

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"sync"
	"syscall"
)

func fail(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

func report(value any) {
	text, err := json.Marshal(value)
	if err != nil {
		fail(err)
	}
	fmt.Println(string(text))
}

// serve ADDRESS: answers with the checksum of the body and the peer's address, until SIGTERM.
func serve(address string) {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		fail(err)
	}
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM)
	go func() {
		<-stop
		listener.Close()
	}()
	fmt.Println("listening")
	http.Serve(listener, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		sum := sha256.New()
		length, err := io.Copy(sum, r.Body)
		if err != nil {
			http.Error(w, err.Error(), 500)
			return
		}
		fmt.Fprintf(w, "%d %x %s", length, sum.Sum(nil), r.RemoteAddr)
	}))
	os.Exit(7)
}

// fetch URL COUNT: makes COUNT requests from eight goroutines.
func fetch(url string, count int) {
	sums := map[string]int{}
	var lock sync.Mutex
	var done sync.WaitGroup
	work := make(chan int)
	for i := 0; i < 8; i++ {
		done.Add(1)
		go func() {
			defer done.Done()
			for range work {
				reply, err := http.Get(url)
				if err != nil {
					fail(err)
				}
				sum := sha256.New()
				if _, err := io.Copy(sum, reply.Body); err != nil {
					fail(err)
				}
				reply.Body.Close()
				lock.Lock()
				sums[fmt.Sprintf("%x", sum.Sum(nil))]++
				lock.Unlock()
			}
		}()
	}
	for i := 0; i < count; i++ {
		work <- i
	}
	close(work)
	done.Wait()
	report(sums)
}

// self: prints the program's own name, what it starts, and what a dead name resolves to.
func self() {
	path, err := os.Executable()
	if err != nil {
		fail(err)
	}
	interfaces, err := net.InterfaceAddrs()
	if err != nil {
		fail(err)
	}
	addresses := []string{}
	for _, address := range interfaces {
		addresses = append(addresses, address.String())
	}
	dynamic, err := exec.Command("cat", "/proc/net/fib_trie").Output()
	if err != nil {
		fail(err)
	}
	static, err := exec.Command("/proc/self/exe", "echo", "a", "b").Output()
	if err != nil {
		fail(err)
	}
	missing := exec.Command(path + ".none").Run()
	report(map[string]any{"path": path, "args": os.Args, "addresses": addresses,
		"fib_trie": string(dynamic), "static": string(static), "missing": missing.Error()})
}

func main() {
	switch {
	case len(os.Args) == 3 && os.Args[1] == "serve":
		serve(os.Args[2])
	case len(os.Args) == 4 && os.Args[1] == "fetch":
		count, err := strconv.Atoi(os.Args[3])
		if err != nil {
			fail(err)
		}
		fetch(os.Args[2], count)
	case len(os.Args) == 2 && os.Args[1] == "self":
		self()
	case len(os.Args) > 1 && os.Args[1] == "echo":
		report(os.Args[2:])
	default:
		fail(fmt.Errorf("usage: serve ADDRESS | fetch URL COUNT | self | echo WORD…"))
	}
}
