//! Random programs with random timeouts and kills, against what must hold of any program.

use super::{Count, Random, for_each_seed};
use crate::sync::channel::{self, Receiver, RecvError, Sender};
use crate::sync::{Condvar, Mutex, RwLock, Semaphore};
use crate::{JoinHandle, sleep, spawn, with_timeout, yield_now};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

/// What happened, written down without a blocking call: exact, whatever is pending.
type Log = Arc<parking_lot::Mutex<Vec<(usize, u64)>>>;

fn moment(random: &mut Random) -> Duration {
    Duration::from_micros(random.below(300))
}

/// Kills some of the crew at random times, then waits for all.
fn decimate(crew: Vec<JoinHandle<()>>, random: &mut Random) {
    for _ in 0..crew.len() / 3 {
        sleep(moment(random));
        crew[random.below(crew.len() as u64) as usize].interrupt();
    }
    for sailor in crew {
        // Killed or not is chance; a panic is not.
        assert!(!matches!(sailor.join(), Err(crate::JoinError::Panicked(_))));
    }
}

fn produce(sender: &Sender<(usize, u64)>, producer: usize, random: &mut Random, sent: &Log) {
    for number in 0..12 {
        let message = (producer, number);
        let ok = match random.below(4) {
            0 => sender.try_send(message).is_ok(),
            1 => {
                with_timeout(moment(random), || sender.send(message)).is_ok_and(|sent| sent.is_ok())
            }
            _ => sender.send(message).is_ok(),
        };
        if ok {
            sent.lock().push(message);
        }
        if random.below(3) == 0 {
            sleep(moment(random));
        }
    }
}

fn consume(receiver: &Receiver<(usize, u64)>, random: &mut Random, received: &Log) {
    let mut latest = [None; PRODUCERS];
    loop {
        let message = match random.below(4) {
            0 => receiver.try_recv().ok(),
            1 => receiver.recv_timeout(moment(random)).ok(),
            2 => with_timeout(moment(random), || receiver.recv())
                .ok()
                .and_then(Result::ok),
            _ => match receiver.recv() {
                Err(RecvError::Disconnected) => return,
                received => received.ok(),
            },
        };
        if let Some((producer, number)) = message {
            received.lock().push((producer, number));
            assert!(
                latest[producer] < Some(number),
                "one sender's messages stay in order"
            );
            latest[producer] = Some(number);
        }
        if random.below(3) == 0 {
            yield_now();
        }
    }
}

const PRODUCERS: usize = 5;

#[test]
fn channels_conserve_messages() {
    for_each_seed(|seed| {
        let mut random = Random(seed);
        let (sender, receiver) = match random.below(5) {
            4 => channel::unbounded(),
            capacity => channel::bounded(capacity as usize),
        };
        let (sent, received) = (Log::default(), Log::default());
        let mut crew = Vec::new();
        for number in 0..PRODUCERS {
            let (sender, sent) = (sender.clone(), Arc::clone(&sent));
            let mut random = Random(seed << 8 | number as u64);
            crew.push(spawn(move || produce(&sender, number, &mut random, &sent)));
        }
        for number in 0..4 {
            let (receiver, received) = (receiver.clone(), Arc::clone(&received));
            let mut random = Random(seed << 8 | 0x80 | number);
            crew.push(spawn(move || consume(&receiver, &mut random, &received)));
        }
        drop(sender);
        // In case all consumers are killed.
        let (last, rest) = (receiver.clone(), Arc::clone(&received));
        crew.push(spawn(move || {
            sleep(Duration::from_secs(1));
            rest.lock().extend(last.iter());
        }));
        decimate(crew, &mut random);
        received.lock().extend(receiver.try_iter());
        let (mut sent, mut received) = (sent.lock().clone(), received.lock().clone());
        sent.sort_unstable();
        received.sort_unstable();
        assert_eq!(sent, received);
        let statistics = receiver.statistics();
        assert_eq!(
            (
                statistics.send.waiting,
                statistics.recv.waiting,
                statistics.senders
            ),
            (0, 0, 0)
        );
    });
}

/// Locks of every kind, and who believes to hold them.
#[derive(Default)]
struct Ship {
    helm: Mutex<()>,
    at_helm: Count,
    chart: RwLock<()>,
    reading: Count,
    writing: Count,
    hammocks: Semaphore3,
    asleep: Count,
}

struct Semaphore3(Semaphore);

impl Default for Semaphore3 {
    fn default() -> Self {
        Self(Semaphore::new(3))
    }
}

/// Counts one in for as long as it lives, however that ends.
struct Aboard<'a>(&'a Count, usize);

impl<'a> Aboard<'a> {
    fn new(count: &'a Count, by: usize) -> Self {
        for _ in 0..by {
            count.up();
        }
        Self(count, by)
    }
}

impl Drop for Aboard<'_> {
    fn drop(&mut self) {
        (0..self.1).for_each(|_| self.0.down());
    }
}

fn one_duty(ship: &Ship, random: &mut Random) {
    match random.below(4) {
        0 => {
            let _helm = ship.helm.lock();
            let _here = Aboard::new(&ship.at_helm, 1);
            assert_eq!(ship.at_helm.get(), 1);
            sleep(moment(random));
        }
        1 => {
            let _chart = ship.chart.read();
            let _here = Aboard::new(&ship.reading, 1);
            assert_eq!(ship.writing.get(), 0);
            sleep(moment(random));
        }
        2 => {
            let _chart = ship.chart.write();
            let _here = Aboard::new(&ship.writing, 1);
            assert_eq!((ship.writing.get(), ship.reading.get()), (1, 0));
            sleep(moment(random));
        }
        _ => {
            let wanted = 1 + random.below(3) as usize;
            let _hammock = ship.hammocks.0.acquire_many(wanted);
            let _here = Aboard::new(&ship.asleep, wanted);
            assert!(ship.asleep.get() <= 3);
            sleep(moment(random));
        }
    }
}

#[test]
fn locks_exclude_and_end_free() {
    for_each_seed(|seed| {
        let mut random = Random(seed);
        let ship = Arc::new(Ship::default());
        let crew = (0..9)
            .map(|number| {
                let ship = Arc::clone(&ship);
                let mut random = Random(seed << 8 | number);
                spawn(move || {
                    for _ in 0..15 {
                        if random.below(2) == 0 {
                            let limit = moment(&mut random);
                            // Elapsed or not is chance.
                            let _ = with_timeout(limit, || one_duty(&ship, &mut random));
                        } else {
                            one_duty(&ship, &mut random);
                        }
                    }
                })
            })
            .collect();
        decimate(crew, &mut random);
        assert!(ship.helm.try_lock().is_some());
        assert!(ship.chart.try_write().is_some());
        assert_eq!(ship.hammocks.0.available(), 3);
        assert_eq!(ship.helm.statistics().waiting, 0);
        assert_eq!(ship.chart.statistics().wait.waiting, 0);
        assert_eq!(ship.hammocks.0.statistics().wait.waiting, 0);
    });
}

/// A bounded buffer as the textbooks build it.
#[derive(Default)]
struct Hold {
    barrels: Mutex<VecDeque<u64>>,
    loaded: Condvar,
    unloaded: Condvar,
}

#[test]
fn condition_variables_lose_no_notification() {
    for_each_seed(|seed| {
        let mut random = Random(seed);
        let hold = Arc::new(Hold::default());
        let (put, taken) = (Log::default(), Log::default());
        let mut crew = Vec::new();
        for producer in 0..3 {
            let (hold, put) = (Arc::clone(&hold), Arc::clone(&put));
            crew.push(spawn(move || {
                for number in 0..10 {
                    let barrels = hold.barrels.lock();
                    let mut barrels = hold
                        .unloaded
                        .wait_while(barrels, |barrels| barrels.len() >= 2);
                    barrels.push_back(number);
                    put.lock().push((producer, number));
                    hold.loaded.notify_one();
                }
            }));
        }
        let consumers: Vec<_> = (0..3)
            .map(|consumer| {
                let (hold, taken) = (Arc::clone(&hold), Arc::clone(&taken));
                spawn(move || {
                    loop {
                        let barrels = hold.barrels.lock();
                        let mut barrels = hold
                            .loaded
                            .wait_while(barrels, |barrels| barrels.is_empty());
                        let number = barrels.pop_front().expect("waited for");
                        taken.lock().push((consumer, number));
                        hold.unloaded.notify_one();
                    }
                })
            })
            .collect();
        // Two of the consumers die on the way: what they were notified of must not be stuck with them.
        for consumer in &consumers[..2] {
            for _ in 0..random.below(20) {
                yield_now();
            }
            consumer.interrupt();
        }
        for producer in crew {
            producer
                .join()
                .expect("a consumer is left, so all is unloaded in the end");
        }
        super::yield_until("an empty hold", || hold.barrels.lock().is_empty());
        consumers[2].interrupt();
        for consumer in consumers {
            assert!(matches!(
                consumer.join(),
                Err(crate::JoinError::Interrupted)
            ));
        }
        assert_eq!(put.lock().len(), 30);
        assert_eq!(taken.lock().len(), 30);
    });
}
