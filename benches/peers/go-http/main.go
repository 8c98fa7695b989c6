// Go's side of the HTTP rows: peer-go-http PROCS FOLDER.
package main

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"runtime"
	"strconv"
	"sync/atomic"
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

	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	fmt.Printf("{\"listening\": %d}\n", listener.Addr().(*net.TCPAddr).Port)
	panic(http.Serve(listener, nil))
}
