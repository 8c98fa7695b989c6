//! The program: starts everything, waits for a signal, ends everything.

use std::io::{self, Write};
use std::os::fd::AsFd;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use grapeshot::net::TcpListener;
use grapeshot::signal::{SIGINT, SIGTERM, SIGUSR2, Signals};
use grapeshot::sync::Event;
use grapeshot::trace::label;
use grapeshot::{Builder, Runtime};
use grapeshot_backdoor::Web;
use grapeshot_profiler::OnDemand;

use super::ledger::Ledger;
use super::npc::Population;
use super::options::{Fault, Options};
use super::pulse::Pulses;
use super::world::World;
use super::{census, console, server};

/// What the kernel may hold for one browser: a slow one sees no older past than this.
const SEND_BUFFER: usize = 64 << 10;
/// How long browsers have to say good-bye.
const GRACE: Duration = Duration::from_millis(400);

/// Runs the demo until a signal ends it.
pub fn run(options: Options) -> ExitCode {
    let started = Instant::now();
    let runtime = match Runtime::builder().workers(options.worker_count()).build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("mmo: the runtime does not start: {error}");
            return ExitCode::FAILURE;
        }
    };
    match runtime.run(move || serve(&options, started)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("mmo: {error}");
            ExitCode::FAILURE
        }
    }
}

fn serve(options: &Options, started: Instant) -> io::Result<()> {
    let mut profiles = OnDemand::new().toggled_by(SIGUSR2);
    if let Some(file) = &options.profile {
        profiles = profiles.from_start(file, None);
    }
    let profiles = profiles.start()?;
    let listener = listen(options)?;
    let address = listener.local_addr()?;
    let world = World::new(options.settings());
    let ledger = match options.fault {
        Some(Fault::Ledger) => Some(Ledger::create()?),
        _ => None,
    };
    let _label = ledger.as_ref().map(|ledger| label(&**ledger, "ledger"));
    let population = Population::new(Arc::clone(&world), ledger);
    let pulses = Pulses::new(Arc::clone(&world));
    let backdoor = console::backdoor(&world, &population, &pulses);
    let mut backdoor = options.doors.open(backdoor)?;
    if let Some(address) = options.page {
        backdoor = backdoor.web(Web::at(address));
    }
    let backdoor = backdoor.serve_unix(&options.backdoor)?;
    let ending = Arc::new(Event::new());
    let signals = watch_signals(&ending)?;

    population.spawn(options.npcs as usize);
    let pulse = {
        let pulses = Arc::clone(&pulses);
        Builder::new().name("pulse").spawn(move || pulses.run())
    };
    let census = (options.fault == Some(Fault::Census)).then(|| {
        let world = Arc::clone(&world);
        Builder::new()
            .name("census")
            .spawn(move || census::run(&world))
    });
    let server = server::server(&world, &pulses, options.patience);
    let serving = {
        let (server, ending) = (server.clone(), Arc::clone(&ending));
        Builder::new().name("server").spawn(move || {
            let result = server.serve(listener);
            ending.set();
            result
        })
    };
    say(&format!(
        "{} NPCs live at   http://{address}/",
        options.npcs
    ));
    say(&format!(
        "attach a console with   cargo run --release --bin console -- {}",
        options.backdoor.display()
    ));
    for (speaks, address) in backdoor.network() {
        say(&format!("or log in at   {speaks}://{address}"));
    }
    match backdoor.page() {
        Some(page) => say(&format!("see inside at   {page}")),
        None => say("see inside with a browser by   --page 127.0.0.1:9002"),
    }
    if let Some(fault) = options.fault {
        say(&format!("a fault is planted: {} finds it", fault.chapter()));
    }
    say(&format!(
        "started in {} ms; Ctrl-C stops",
        started.elapsed().as_millis()
    ));

    ending.wait();
    drop(profiles);
    let stopping = Instant::now();
    for (seat, _) in world.players() {
        seat.dismiss(1001, "the server stops");
    }
    server.shutdown(GRACE);
    drop(backdoor);
    population.end();
    pulse.interrupt();
    signals.interrupt();
    // All were interrupted, as asked.
    let _ = (pulse.join(), signals.join());
    if let Some(census) = census {
        census.interrupt();
        let _ = census.join();
    }
    let served = serving.join();
    farewell(stopping);
    served.unwrap_or_else(|error| Err(io::Error::other(format!("the server ended: {error}"))))
}

fn listen(options: &Options) -> io::Result<TcpListener> {
    let listener = TcpListener::bind(options.listen).map_err(|error| explain(&error, options))?;
    // Connections inherit it. A system that will not have it serves all the same.
    if let Err(error) = socket2::SockRef::from(&listener.as_fd()).set_send_buffer_size(SEND_BUFFER)
    {
        log::debug!("send buffers keep their size: {error}");
    }
    Ok(listener)
}

fn explain(error: &io::Error, options: &Options) -> io::Error {
    let (address, port) = (options.listen, options.listen.port());
    let text = match error.kind() {
        io::ErrorKind::AddrInUse => format!(
            "port {port} is in use, perhaps by another mmo. Stop that one, or choose another port: --listen {}:{}",
            address.ip(),
            port.checked_add(1).unwrap_or(9001)
        ),
        io::ErrorKind::PermissionDenied => {
            format!(
                "port {port} needs privileges that this user lacks. Choose one above 1023: --listen {}:9001",
                address.ip()
            )
        }
        _ => format!("cannot listen on {address}: {error}"),
    };
    io::Error::new(error.kind(), text)
}

/// The first signal ends the program in order, a second one at once.
fn watch_signals(ending: &Arc<Event>) -> io::Result<grapeshot::JoinHandle<()>> {
    let mut signals = Signals::new(&[SIGTERM, SIGINT])?;
    let ending = Arc::clone(ending);
    Ok(Builder::new().name("signals").spawn(move || {
        loop {
            match signals.wait() {
                Ok(signal) if ending.is_set() => std::process::exit(128 + signal),
                Ok(_) => ending.set(),
                // Whoever gave up listening would be killed by the next signal.
                Err(error) => {
                    log::warn!("listening for signals: {error}; trying again");
                    grapeshot::sleep(Duration::from_millis(100));
                }
            }
        }
    }))
}

/// Tells how it went, and whether anything was left behind.
fn farewell(stopping: Instant) {
    let me = grapeshot::registry::current();
    let mut left: Vec<_> = grapeshot::registry::coroutines()
        .into_iter()
        .filter(|coroutine| Some(coroutine.id) != me)
        .collect();
    // What the console had opened ends by itself a moment after its socket was closed.
    for _ in 0..100 {
        if left.is_empty() {
            break;
        }
        grapeshot::sleep(Duration::from_millis(2));
        left = grapeshot::registry::coroutines()
            .into_iter()
            .filter(|coroutine| Some(coroutine.id) != me)
            .collect();
    }
    let took = stopping.elapsed().as_millis();
    if left.is_empty() {
        say(&format!("stopped in {took} ms, no coroutine left behind"));
    } else {
        let names: Vec<_> = left
            .iter()
            .take(5)
            .map(|coroutine| coroutine.name.as_str())
            .collect();
        say(&format!(
            "stopped in {took} ms, {} coroutines left behind: {}",
            left.len(),
            names.join(", ")
        ));
    }
}

/// Prints a line. Where nobody can read it, the world goes on: `println` would panic.
fn say(line: &str) {
    if let Err(error) = writeln!(io::stdout(), "{line}") {
        log::warn!("cannot print {line:?}: {error}");
    }
}
