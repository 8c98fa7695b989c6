// Go's side of the rows, with the figures of ../../measure/src/lib.rs: change both.
//
// usage: peer-go ROW [PROCESSORS]
package main

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	unsupported  = 77
	yields       = 50_000
	roundTrips   = 20_000
	acquisitions = 20_000
	boundedCalls = 50_000
	sleeperCount = 100_000
	datagram     = 64
	wakes        = 2_000
	betweenWakes = 200 * time.Microsecond
	million      = 1_000_000
	nap          = time.Second
	settle       = 5 * time.Second
)

func main() {
	if len(os.Args) < 2 {
		fmt.Fprintln(os.Stderr, "usage: peer-go ROW [PROCESSORS]")
		os.Exit(2)
	}
	if len(os.Args) > 2 {
		processors, err := strconv.Atoi(os.Args[2])
		must(err)
		runtime.GOMAXPROCS(processors)
	}
	row, count := os.Args[1], 0
	if prefix, number, found := strings.Cut(row, "-"); found {
		n, err := strconv.Atoi(number)
		must(err)
		row, count = prefix, n
	}
	rows := map[string]func(int){
		"yield": yieldRow, "spawn": spawnRow, "channel": channelRow, "mutex": mutexRow, "timeout": timeoutRow,
		"memory": memoryRow, "sleepers": sleepersRow, "echo": echoRow, "select": selectRow, "udp": udpRow, "wake": wakeRow,
		"million": millionRow, "idle": idleRow,
	}
	run, found := rows[row]
	if !found {
		fmt.Fprintf(os.Stderr, "unsupported: no row is called %q\n", row)
		os.Exit(unsupported)
	}
	run(count)
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

// stopwatch times chunks of operations until there are enough of them; the first is a warm-up.
type stopwatch struct {
	started    time.Time
	measured   time.Duration
	nanosEach  []float64
	chunkStart time.Time
}

func newStopwatch() *stopwatch { return &stopwatch{started: time.Now()} }

func (w *stopwatch) wantsMore() bool {
	enough := w.measured >= 400*time.Millisecond && len(w.nanosEach) > 5
	return !enough && (len(w.nanosEach) < 2 || time.Since(w.started) < 10*time.Second)
}

func (w *stopwatch) start() { w.chunkStart = time.Now() }

func (w *stopwatch) stop(operations int) {
	took := time.Since(w.chunkStart)
	w.measured += took
	w.nanosEach = append(w.nanosEach, float64(took.Nanoseconds())/float64(operations))
}

func (w *stopwatch) report() {
	each := w.nanosEach[1:]
	slices.Sort(each)
	fmt.Printf("{\"ns\": %.2f, \"chunks\": %d}\n", each[len(each)/2], len(each))
}

func yieldRow(int) {
	watch := newStopwatch()
	for watch.wantsMore() {
		watch.start()
		var both sync.WaitGroup
		for range 2 {
			both.Go(func() {
				for range yields {
					runtime.Gosched()
				}
			})
		}
		both.Wait()
		watch.stop(2 * yields)
	}
	watch.report()
}

func spawnRow(batch int) {
	watch := newStopwatch()
	for watch.wantsMore() {
		watch.start()
		var all sync.WaitGroup
		all.Add(batch)
		for range batch {
			go all.Done()
		}
		all.Wait()
		watch.stop(batch)
	}
	watch.report()
}

func channelRow(int) {
	there, back := make(chan int, 1), make(chan int, 1)
	go func() {
		for value := range there {
			back <- value
		}
	}()
	watch := newStopwatch()
	for watch.wantsMore() {
		watch.start()
		for i := range roundTrips {
			there <- i
			if <-back != i {
				panic("another value came back")
			}
		}
		watch.stop(roundTrips)
	}
	close(there)
	watch.report()
}

func mutexRow(int) {
	var shared sync.Mutex
	counter := 0
	watch := newStopwatch()
	for watch.wantsMore() {
		watch.start()
		var both sync.WaitGroup
		for range 2 {
			both.Go(func() {
				for range acquisitions {
					shared.Lock()
					counter++
					runtime.Gosched()
					shared.Unlock()
					runtime.Gosched()
				}
			})
		}
		both.Wait()
		watch.stop(2 * acquisitions)
	}
	watch.report()
}

//go:noinline
func readyCall(_ context.Context, value int) int { return value }

func timeoutRow(int) {
	watch := newStopwatch()
	for watch.wantsMore() {
		watch.start()
		for i := range boundedCalls {
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			if readyCall(ctx, i) != i || ctx.Err() != nil {
				panic("the call was not bounded by a second")
			}
			cancel()
		}
		watch.stop(boundedCalls)
	}
	watch.report()
}

func memoryRow(count int) {
	var started atomic.Int64
	never := make(chan struct{})
	runtime.GC()
	before := statusKiB("VmRSS:")
	for range count {
		go func() {
			started.Add(1)
			<-never
		}()
	}
	for started.Load() < int64(count) {
		time.Sleep(10 * time.Millisecond)
	}
	resident := statusKiB("VmRSS:")
	maps, err := os.ReadFile("/proc/self/maps")
	must(err)
	fmt.Printf("{\"kib_each\": %.3f, \"resident_kib\": %d, \"page_tables_kib\": %d, \"mappings\": %d}\n",
		float64(resident-before)/float64(count), resident, statusKiB("VmPTE:"), strings.Count(string(maps), "\n"))
}

func statusKiB(field string) int64 {
	file, err := os.Open("/proc/self/status")
	must(err)
	defer file.Close()
	for lines := bufio.NewScanner(file); lines.Scan(); {
		if rest, found := strings.CutPrefix(lines.Text(), field); found {
			kib, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
			must(err)
			return kib
		}
	}
	panic(field + " is not in /proc/self/status")
}

// sleepOf spreads the sleeps over 0–1 s, as every other program does.
func sleepOf(index int) time.Duration {
	return time.Duration(uint64(index)*2_654_435_761%1_000_000) * time.Microsecond
}

func processorTime() time.Duration {
	var usage syscall.Rusage
	must(syscall.Getrusage(syscall.RUSAGE_SELF, &usage))
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

func sleepersRow(int) {
	processor := processorTime()
	lateness := make([]time.Duration, sleeperCount)
	var all sync.WaitGroup
	all.Add(sleeperCount)
	for i := range sleeperCount {
		go func() {
			start, nap := time.Now(), sleepOf(i)
			time.Sleep(nap)
			lateness[i] = max(time.Since(start)-nap, 0)
			all.Done()
		}()
	}
	all.Wait()
	processor = processorTime() - processor
	slices.Sort(lateness)
	at := func(share float64) float64 {
		return lateness[int(float64(len(lateness)-1)*share)].Seconds() * 1e3
	}
	fmt.Printf("{\"p50_ms\": %.4f, \"p99_ms\": %.4f, \"max_ms\": %.4f, \"cpu_s\": %.4f}\n",
		at(0.5), at(0.99), at(1), processor.Seconds())
}

func selectRow(int) {
	channels := func() (c [3]chan int) {
		for i := range c {
			c[i] = make(chan int, 1)
		}
		return
	}
	there, back := channels(), channels()
	go func() {
		for {
			var value int
			select {
			case value = <-there[0]:
			case value = <-there[1]:
			case <-there[2]:
				return
			}
			back[value%2] <- value
		}
	}()
	watch := newStopwatch()
	for watch.wantsMore() {
		watch.start()
		for i := range roundTrips {
			there[i%2] <- i
			var value int
			select {
			case value = <-back[0]:
			case value = <-back[1]:
			case value = <-back[2]:
			}
			if value != i {
				panic("another value came back")
			}
		}
		watch.stop(roundTrips)
	}
	close(there[2])
	watch.report()
}

func udpRow(int) {
	bind := func() *net.UDPConn {
		socket, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
		must(err)
		return socket
	}
	there, back := bind(), bind()
	to, from := back.LocalAddr().(*net.UDPAddr).AddrPort(), there.LocalAddr().(*net.UDPAddr).AddrPort()
	go func() {
		buffer := make([]byte, datagram)
		for {
			n, _, err := back.ReadFromUDPAddrPort(buffer)
			if err != nil {
				return
			}
			_, err = back.WriteToUDPAddrPort(buffer[:n], from)
			must(err)
		}
	}()
	buffer := make([]byte, datagram)
	watch := newStopwatch()
	for watch.wantsMore() {
		watch.start()
		for range roundTrips {
			_, err := there.WriteToUDPAddrPort(buffer, to)
			must(err)
			_, _, err = there.ReadFromUDPAddrPort(buffer)
			must(err)
		}
		watch.stop(roundTrips)
	}
	watch.report()
}

// wakeRow needs two processors: the one that wakes computes in between, so that the other is another thread's.
func wakeRow(int) {
	if runtime.GOMAXPROCS(0) < 2 {
		fmt.Fprintln(os.Stderr, "unsupported: with one processor nothing runs while the waker computes")
		os.Exit(unsupported)
	}
	sent, delays := make(chan time.Time, wakes), make(chan time.Duration, wakes)
	go func() {
		for at := range sent {
			delays <- time.Since(at)
		}
		close(delays)
	}()
	for range wakes {
		for start := time.Now(); time.Since(start) < betweenWakes; {
		}
		sent <- time.Now()
	}
	close(sent)
	var all []time.Duration
	for delay := range delays {
		all = append(all, delay)
	}
	all = all[len(all)/10:]
	slices.Sort(all)
	at := func(share float64) float64 {
		return all[int(float64(len(all)-1)*share)].Seconds() * 1e6
	}
	fmt.Printf("{\"p50_us\": %.3f, \"p99_us\": %.3f}\n", at(0.5), at(0.99))
}

// idleRow watches from a goroutine, whose own wake-up is subtracted.
func idleRow(int) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(err)
	go func() { _, _ = listener.Accept() }()
	const watched = 3 * time.Second
	time.Sleep(watched)
	before := fallenAsleep()
	time.Sleep(watched)
	fmt.Printf("{\"per_second\": %.2f}\n", max(float64(fallenAsleep()-before-1)/watched.Seconds(), 0))
}

func fallenAsleep() (total int64) {
	threads, err := os.ReadDir("/proc/self/task")
	must(err)
	for _, thread := range threads {
		status, err := os.ReadFile("/proc/self/task/" + thread.Name() + "/status")
		if err != nil {
			continue // It has ended meanwhile.
		}
		for line := range strings.Lines(string(status)) {
			if rest, found := strings.CutPrefix(line, "voluntary_ctxt_switches:"); found {
				count, err := strconv.ParseInt(strings.TrimSpace(rest), 10, 64)
				must(err)
				total += count
			}
		}
	}
	return
}

func millionRow(int) {
	before, start := statusKiB("VmRSS:"), time.Now()
	var all sync.WaitGroup
	all.Add(million)
	var started atomic.Int64
	var allThere atomic.Bool
	for range million {
		go func() {
			started.Add(1)
			for !allThere.Load() {
				time.Sleep(nap)
			}
			all.Done()
		}()
	}
	for started.Load() < million {
		time.Sleep(10 * time.Millisecond)
	}
	time.Sleep(nap)
	allThere.Store(true)
	all.Wait()
	took := time.Since(start)
	time.Sleep(settle)
	gib := func(kib int64) float64 { return float64(kib) / (1 << 20) }
	fmt.Printf("{\"peak_gib\": %.3f, \"left_gib\": %.3f, \"took_s\": %.3f}\n",
		gib(statusKiB("VmHWM:")), gib(max(statusKiB("VmRSS:")-before, 0)), took.Seconds())
}

func echoRow(int) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(err)
	fmt.Printf("{\"listening\": %d}\n", listener.Addr().(*net.TCPAddr).Port)
	for {
		stream, err := listener.Accept()
		must(err)
		go serve(stream)
	}
}

// serve need not set TCP_NODELAY: Go's net package does by default.
func serve(stream net.Conn) {
	defer stream.Close()
	buffer := make([]byte, 1024)
	for {
		n, err := stream.Read(buffer)
		if err != nil {
			return
		}
		if _, err := stream.Write(buffer[:n]); err != nil {
			return
		}
	}
}
