//! The attributes `grapeshot::test` and `grapeshot::main`; use them by those names.

mod arguments;
mod expand;
mod function;

use proc_macro::TokenStream;

/// Runs a test as the main coroutine of a simulation: with a virtual clock, in an order that a seed decides, on one worker.
///
/// ```
/// use grapeshot::{sleep, sync::channel};
/// use std::time::Duration;
///
/// #[grapeshot::test]
/// fn the_answer_comes_within_the_year() -> Result<(), Box<dyn std::error::Error>> {
///     let (sender, receiver) = channel::bounded(1);
///     let thinker = grapeshot::spawn(move || {
///         sleep(Duration::from_secs(300 * 86_400));
///         sender.send(42)
///     });
///     assert_eq!(receiver.recv()?, 42);
///     thinker.join()??;
///     Ok(())
/// }
/// # fn main() {}
/// ```
///
/// The function takes no arguments and returns nothing, or a `Result`, whose error fails the test.
/// Attributes such as `#[should_panic]` and `#[ignore]` go below this one and mean what they always do; `#[test]` is not
/// wanted.
///
/// # Leaks
///
/// A coroutine that the test spawned and that is still alive half a second (of its clock) after the test returned fails it,
/// with the place that spawned it and what it waits for. Those of a simulated `testing::host` are not counted: they end with
/// the simulation. `testing::assert_no_leaks` does the same elsewhere.
///
/// # Arguments
///
/// | | |
/// |---|---|
/// | `seed = 7` | the order of the simulation; 0 if not given |
/// | `seeds = 0..100` | runs it once for each seed, until one fails, and says which: see `testing::explore` |
/// | `network` | the simulation has a network in memory, with the usual settings |
/// | `network = expression` | one with the settings of this `testing::NetworkConfig` |
/// | `real` | no simulation: a runtime with the real clock, and as many workers as there are processors |
/// | `workers = 2` | that many workers; with `real` |
/// | `leaks = allow` | coroutines may outlive the test |
/// | `deny_lints` | a lint that was raised by the end of the test fails it: see `registry::lints` |
///
/// With `deny_lints` locks are watched closely (`registry::watch_closely`), so locks that are taken in different orders
/// fail the test though nobody was ever stuck in it. What takes time to be noticed, such as a selfish coroutine, is noticed
/// with `real` only, by a test that goes on for long enough: the watchdog looks twice a second.
///
/// ```
/// use grapeshot::sync::Mutex;
/// use std::sync::Arc;
///
/// #[grapeshot::test(deny_lints)]
/// #[should_panic(expected = "lock order inverted")]
/// fn both_take_purse_and_sword() {
///     let (purse, sword) = (Arc::new(Mutex::new(())), Arc::new(Mutex::new(())));
///     let (own_purse, own_sword) = (Arc::clone(&purse), Arc::clone(&sword));
///     let thief = grapeshot::spawn(move || {
///         let _first = own_purse.lock();
///         let _then = own_sword.lock();
///     });
///     thief.join().unwrap();
///     let _first = sword.lock();
///     let _then = purse.lock();
/// }
/// # fn main() {}
/// ```
///
/// ```
/// use grapeshot::net::{TcpListener, TcpStream};
/// use grapeshot::testing::NetworkConfig;
/// use std::io::Read;
///
/// #[grapeshot::test(seeds = 0..100, network = NetworkConfig::new().chop(true))]
/// fn greets() -> std::io::Result<()> {
///     let listener = TcpListener::bind("0.0.0.0:9")?;
///     let client = grapeshot::spawn(|| {
///         let mut heard = String::new();
///         TcpStream::connect("localhost:9")?.read_to_string(&mut heard)?;
///         std::io::Result::Ok(heard)
///     });
///     std::io::Write::write_all(&mut listener.accept()?.0, b"good morning")?;
///     assert_eq!(client.join().unwrap()?, "good morning");
///     Ok(())
/// }
///
/// #[grapeshot::test(real, workers = 2)]
/// fn on_two_threads() {
///     assert_eq!(grapeshot::spawn(|| 6 * 7).join().unwrap(), 42);
/// }
/// # fn main() {}
/// ```
///
/// What does not fit together does not compile:
///
/// ```compile_fail
/// #[grapeshot::test(workers = 2)] // a simulation has one
/// fn on_two_threads() {}
/// # fn main() {}
/// ```
#[proc_macro_attribute]
pub fn test(arguments: TokenStream, item: TokenStream) -> TokenStream {
    expand::test(arguments.into(), item.into())
        .unwrap_or_else(|error| error.to_tokens())
        .into()
}

/// Runs `main` as the main coroutine of a runtime, as `run` does.
///
/// It takes no arguments and returns what a `main` may return. When it returns, the runtime stops: every other coroutine is
/// interrupted. `workers = 2` chooses the number of workers; there is one for each processor, if not given.
///
/// ```
/// use grapeshot::{sleep, spawn};
///
/// #[grapeshot::main(workers = 2)]
/// fn main() -> Result<(), Box<dyn std::error::Error>> {
///     let answer = spawn(|| "42".parse::<u32>()).join()??;
///     assert_eq!(answer, 42);
///     Ok(())
/// }
/// ```
#[proc_macro_attribute]
pub fn main(arguments: TokenStream, item: TokenStream) -> TokenStream {
    expand::main(arguments.into(), item.into())
        .unwrap_or_else(|error| {
            let error = error.to_tokens();
            // One complaint is enough.
            quote::quote! { #error fn main() {} }
        })
        .into()
}
