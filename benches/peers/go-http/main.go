// Go's side of the HTTP rows: peer-go-http PROCS FOLDER [tls KEYS | proxy PORT | ask URL CONNECTIONS WARM_MS MS].
package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

type sailor struct {
	ID    uint32 `json:"id"`
	Name  string `json:"name"`
	Rank  string `json:"rank"`
	Watch uint8  `json:"watch"`
}

type ship struct {
	Name string   `json:"name"`
	Tons uint32   `json:"tons"`
	Crew []sailor `json:"crew"`
}

var people = [4][2]string{
	{"Anne", "boatswain"},
	{"Bartholomew", "gunner's mate"},
	{"Charlotte", "quartermaster"},
	{"Davy", "able seaman"},
}

func newShip(n uint32) ship {
	crew := make([]sailor, 18)
	for i := range crew {
		person := people[i%len(people)]
		crew[i] = sailor{1000 + n%1000 + uint32(i), person[0], person[1], uint8(i) % 3}
	}
	return ship{"Queen Anne's Revenge", 200 + n%100, crew}
}

func main() {
	if len(os.Args) < 3 {
		fmt.Fprintln(os.Stderr, "usage: peer-go-http PROCS FOLDER")
		os.Exit(2)
	}
	procs, _ := strconv.Atoi(os.Args[1])
	runtime.GOMAXPROCS(procs)

	var served atomic.Uint32
	http.HandleFunc("/plaintext", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.Write([]byte("Hello, World!"))
	})
	http.HandleFunc("/json", func(w http.ResponseWriter, r *http.Request) {
		body, _ := json.Marshal(newShip(served.Add(1)))
		w.Header().Set("Content-Type", "application/json")
		w.Write(body)
	})
	http.Handle("/", http.FileServer(http.Dir(os.Args[2])))

	job := os.Args[3:]
	if len(job) == 5 && job[0] == "ask" {
		ask(job[1], number(job[2]), number(job[3]), number(job[4]))
		return
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	fmt.Printf("{\"listening\": %d}\n", listener.Addr().(*net.TCPAddr).Port)
	switch {
	case len(job) == 2 && job[0] == "tls":
		panic(http.ServeTLS(listener, nil, job[1]+"/site.pem", job[1]+"/site.key"))
	case len(job) == 2 && job[0] == "proxy":
		back := &url.URL{Scheme: "http", Host: "127.0.0.1:" + job[1]}
		proxy := httputil.NewSingleHostReverseProxy(back)
		proxy.Transport = &http.Transport{MaxIdleConnsPerHost: 1024, DisableCompression: true}
		panic(http.Serve(listener, proxy))
	default:
		panic(http.Serve(listener, nil))
	}
}

func number(text string) int {
	value, err := strconv.Atoi(text)
	if err != nil {
		panic(err)
	}
	return value
}

// Nanoseconds of the processor that this process's threads have used, and its KiB of memory.
func usage() (uint64, uint64) {
	var sum uint64
	threads, _ := os.ReadDir("/proc/self/task")
	for _, thread := range threads {
		text, _ := os.ReadFile("/proc/self/task/" + thread.Name() + "/schedstat")
		if words := strings.Fields(string(text)); len(words) > 0 {
			used, _ := strconv.ParseUint(words[0], 10, 64)
			sum += used
		}
	}
	text, _ := os.ReadFile("/proc/self/statm")
	pages, _ := strconv.ParseUint(strings.Fields(string(text))[1], 10, 64)
	return sum, pages * 4
}

// Asks so many at a time, and prints what that took in the words of load/http_load.c.
func ask(address string, connections, warm, measured int) {
	transport := &http.Transport{MaxIdleConnsPerHost: connections, MaxConnsPerHost: connections, DisableCompression: true}
	client := &http.Client{Transport: transport}
	var measuring, over atomic.Bool
	var all sync.WaitGroup
	times := make([][]int64, connections)
	for i := range connections {
		all.Add(1)
		go func() {
			defer all.Done()
			for !over.Load() {
				began := time.Now()
				answer, err := client.Get(address)
				if err != nil {
					panic(err)
				}
				if _, err := io.Copy(io.Discard, answer.Body); err != nil || answer.StatusCode != 200 {
					panic(fmt.Sprint(err, answer.StatusCode))
				}
				answer.Body.Close()
				if measuring.Load() {
					times[i] = append(times[i], time.Since(began).Microseconds())
				}
			}
		}()
	}
	time.Sleep(time.Duration(warm) * time.Millisecond)
	before, _ := usage()
	measuring.Store(true)
	began := time.Now()
	time.Sleep(time.Duration(measured) * time.Millisecond)
	measuring.Store(false)
	seconds := time.Since(began).Seconds()
	after, resident := usage()
	over.Store(true)
	all.Wait()
	sorted := slices.Concat(times...)
	slices.Sort(sorted)
	at := func(share int) int64 {
		if len(sorted) == 0 {
			return 0
		}
		return sorted[len(sorted)*share/100]
	}
	fmt.Printf("{\"requests\": %d, \"seconds\": %.6f, \"server_cpu_us\": %.1f, \"server_rss_kib\": %d, \"p50_us\": %d, \"p99_us\": %d}\n",
		len(sorted), seconds, float64(after-before)/1e3, resident, at(50), at(99))
}
