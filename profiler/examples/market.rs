//! A market with a fault: prices are reckoned while the market's lock is held. `market` takes a profile of it and writes the
//! report to `market.html`; `market --fixed` reckons first, and locks for a moment.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use grapeshot::sync::Mutex;
use grapeshot::{Builder, yield_now};
use grapeshot_profiler::{Options, QUEUED, report, run};

const SELLERS: u64 = 40;
const SALES: u64 = 25;

/// What is for sale, and for how much.
#[derive(Default)]
struct Market {
    prices: Mutex<Vec<u64>>,
    sales: AtomicU64,
}

/// What a thing is worth: a long computation.
#[inline(never)]
fn appraise(thing: u64) -> u64 {
    (0..20_000).fold(thing, |worth, _| {
        std::hint::black_box(worth.wrapping_mul(31) % 1_000_003)
    })
}

impl Market {
    /// The fault: everybody waits while one reckons, and lets the others run.
    #[inline(never)]
    fn sell(&self, thing: u64) {
        let mut prices = self.prices.lock();
        let half = appraise(thing);
        yield_now();
        prices.push(half + appraise(thing + 1));
        self.sales.fetch_add(1, Ordering::Relaxed);
    }

    /// Without it.
    #[inline(never)]
    fn sell_well(&self, thing: u64) {
        let half = appraise(thing);
        yield_now();
        let price = half + appraise(thing + 1);
        self.prices.lock().push(price);
        self.sales.fetch_add(1, Ordering::Relaxed);
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let fixed = std::env::args().nth(1).as_deref() == Some("--fixed");
    let work = move || {
        let market = Arc::new(Market::default());
        let seller = |number: u64| {
            let market = Arc::clone(&market);
            Builder::new()
                .name(format!("seller-{number}"))
                .spawn(move || {
                    for sale in 0..SALES {
                        match fixed {
                            true => market.sell_well(number * SALES + sale),
                            false => market.sell(number * SALES + sale),
                        }
                    }
                })
        };
        let sellers: Vec<_> = (0..SELLERS).map(seller).collect();
        for seller in sellers {
            seller.join().expect("a seller never fails");
        }
        assert_eq!(market.sales.load(Ordering::Relaxed), SELLERS * SALES);
    };
    let ((), profile) = grapeshot::run(move || run(Options::new(), work))?;
    println!("On the processor:");
    let all: u64 = profile.on.iter().map(|stack| stack.nanos).sum();
    for function in profile.functions(&profile.on).iter().take(5) {
        let percent = function.itself.nanos as f64 * 100.0 / all.max(1) as f64;
        println!("  {percent:5.1} %  {}", profile.string(function.name));
    }
    for group in profile.groups.iter().filter(|group| group.coroutines > 1) {
        println!("{} of {}:", group.coroutines, profile.string(group.name));
        println!("  {:8.1} ms on the processor", group.cpu as f64 / 1e6);
        for &(kind, nanos, times) in &group.waits {
            let (kind, each) = (profile.string(kind), nanos as f64 / 1e6 / times as f64);
            let what = if kind == QUEUED {
                "queued to run"
            } else {
                kind
            };
            println!(
                "  {:8.1} ms {what}, {times} times, {each:.2} ms each",
                nanos as f64 / 1e6
            );
        }
    }
    std::fs::write("market.html", report::html(&profile))?;
    println!("The report is in market.html.");
    Ok(())
}
