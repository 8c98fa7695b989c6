//! Channels: order, ends, capacity, and who gets what when a wait is interrupted.

use super::{Count, for_each_seed, yield_until};
use crate::sync::channel::{
    self, RecvError, RecvTimeoutError, SendError, TryRecvError, TrySendError,
};
use crate::{Elapsed, JoinError, sleep, spawn, with_timeout};
use std::time::Duration;

const TICK: Duration = Duration::from_millis(10);

#[test]
fn messages_arrive_in_order_through_any_capacity() {
    for_each_seed(|seed| {
        let (sender, receiver) = match seed % 4 {
            3 => channel::unbounded(),
            capacity => channel::bounded(capacity as usize),
        };
        spawn(move || (0..20).for_each(|n| sender.send(n).unwrap()));
        assert_eq!(
            receiver.iter().collect::<Vec<_>>(),
            (0..20).collect::<Vec<_>>()
        );
    });
}

#[test]
fn a_full_channel_makes_senders_wait_in_line() {
    for_each_seed(|_| {
        let (sender, receiver) = channel::bounded(2);
        sender.send(0).unwrap();
        sender.send(1).unwrap();
        assert_eq!(sender.try_send(9), Err(TrySendError::Full(9)));
        for number in 2..6 {
            let ours = sender.clone();
            spawn(move || ours.send(number).unwrap());
            yield_until("a sender", || {
                sender.statistics().send.waiting == number - 1
            });
        }
        assert_eq!(receiver.len(), 2);
        for number in 0..6 {
            assert_eq!(receiver.try_recv(), Ok(number));
        }
        assert_eq!(receiver.try_recv(), Err(TryRecvError::Empty));
        assert_eq!(receiver.statistics().sent, 6);
    });
}

#[test]
fn a_rendezvous_sender_waits_for_its_receiver() {
    for_each_seed(|_| {
        let (sender, receiver) = channel::bounded(0);
        assert_eq!(sender.try_send(0), Err(TrySendError::Full(0)));
        let ours = sender.clone();
        let sending = spawn(move || ours.send(1));
        yield_until("the sender", || sender.statistics().send.waiting == 1);
        assert!(!sending.is_finished());
        assert_eq!(receiver.len(), 0);
        assert_eq!(receiver.recv(), Ok(1));
        sending.join().unwrap().unwrap();
        let receiving = spawn({
            let receiver = receiver.clone();
            move || receiver.recv()
        });
        yield_until("the receiver", || sender.statistics().recv.waiting == 1);
        assert_eq!(sender.try_send(2), Ok(()));
        assert_eq!(sender.try_send(3), Err(TrySendError::Full(3)));
        assert_eq!(receiving.join().unwrap(), Ok(2));
    });
}

#[test]
fn a_rendezvous_overtakes_no_promised_message() {
    crate::testing::run(0, || {
        let (sender, receiver) = channel::bounded(0);
        let ours = receiver.clone();
        let promised = spawn(move || ours.recv());
        yield_until("a receiver", || sender.statistics().recv.waiting == 1);
        sender.send(1).unwrap();
        // From here on until the assertion nothing suspends, so the receiver has not taken its message.
        let sending = std::thread::spawn({
            let sender = sender.clone();
            move || sender.send(2)
        });
        while sender.statistics().send.waiting == 0 && !sending.is_finished() {
            std::thread::yield_now();
        }
        assert_eq!(receiver.try_recv(), Ok(1), "sent first");
        assert_eq!(promised.join().unwrap(), Ok(2));
        sending.join().unwrap().unwrap();
    });
}

#[test]
fn the_last_sender_lets_receivers_drain() {
    for_each_seed(|_| {
        let (sender, receiver) = channel::unbounded();
        sender.send(1).unwrap();
        let second = sender.clone();
        drop(sender);
        second.send(2).unwrap();
        assert!(!receiver.is_disconnected());
        drop(second);
        assert!(receiver.is_disconnected());
        assert_eq!(receiver.recv(), Ok(1));
        assert_eq!(receiver.try_recv(), Ok(2));
        assert_eq!(receiver.try_recv(), Err(TryRecvError::Disconnected));
        assert_eq!(receiver.recv(), Err(RecvError::Disconnected));
        assert_eq!(
            receiver.recv_timeout(TICK),
            Err(RecvTimeoutError::Disconnected)
        );
    });
}

#[test]
fn the_last_sender_ends_receivers_that_wait() {
    for_each_seed(|_| {
        let (sender, receiver) = channel::bounded::<i32>(1);
        let crew: Vec<_> = (0..3)
            .map(|_| {
                let receiver = receiver.clone();
                spawn(move || receiver.recv())
            })
            .collect();
        yield_until("three receivers", || sender.statistics().recv.waiting == 3);
        sender.send(7).unwrap();
        drop(sender);
        let mut got: Vec<_> = crew
            .into_iter()
            .map(|receiver| receiver.join().unwrap().ok())
            .collect();
        got.sort_unstable();
        assert_eq!(got, [None, None, Some(7)]);
    });
}

#[test]
fn the_last_receiver_gives_waiting_senders_their_messages_back() {
    for_each_seed(|_| {
        let (sender, receiver) = channel::bounded(1);
        sender.send(0).unwrap();
        let crew: Vec<_> = (1..4)
            .map(|number| {
                let sender = sender.clone();
                spawn(move || sender.send(number))
            })
            .collect();
        yield_until("three senders", || sender.statistics().send.waiting == 3);
        // The first is granted its place and has sent; the others have not.
        let first = receiver.recv().unwrap();
        drop(receiver);
        assert_eq!(first, 0);
        assert!(sender.is_disconnected());
        let ended: Vec<_> = crew
            .into_iter()
            .map(|sender| sender.join().unwrap())
            .collect();
        let back: Vec<_> = ended
            .iter()
            .filter_map(|sent| sent.err())
            .map(SendError::into_inner)
            .collect();
        assert_eq!(back.len(), 2, "{ended:?}");
        assert!(ended.iter().enumerate().all(|(i, sent)| {
            sent.is_ok() || *sent == Err(SendError::Disconnected(i as i32 + 1))
        }));
        assert_eq!(sender.send(9), Err(SendError::Disconnected(9)));
        assert_eq!(sender.try_send(9), Err(TrySendError::Disconnected(9)));
    });
}

#[test]
fn what_nobody_received_is_dropped_with_the_last_receiver() {
    /// A message that, as it is dropped, uses the channel it was in.
    struct Letter(channel::Sender<Letter>, Count);
    impl Drop for Letter {
        fn drop(&mut self) {
            assert!(self.0.is_disconnected());
            self.1.up();
        }
    }
    crate::testing::run(0, || {
        let (sender, receiver) = channel::unbounded();
        let dropped = Count::default();
        for _ in 0..3 {
            sender
                .send(Letter(sender.clone(), dropped.clone()))
                .unwrap();
        }
        drop(receiver);
        assert_eq!(dropped.get(), 3);
    });
}

#[test]
fn a_killed_receiver_keeps_the_message_it_was_promised() {
    for_each_seed(|_| {
        let (sender, receiver) = channel::bounded(1);
        let (confirm, confirmed) = channel::unbounded();
        let victim = spawn({
            let receiver = receiver.clone();
            move || {
                loop {
                    let message: i32 = receiver.recv().unwrap();
                    confirm.send(message).unwrap();
                }
            }
        });
        yield_until("the receiver", || sender.statistics().recv.waiting == 1);
        sender.send(1).unwrap();
        victim.interrupt();
        sender.send(2).unwrap();
        assert!(matches!(victim.join(), Err(JoinError::Interrupted)));
        assert_eq!(confirmed.iter().collect::<Vec<_>>(), [1]);
        assert_eq!(receiver.try_recv(), Ok(2));
    });
}

#[test]
fn a_timeout_that_ties_with_a_message_loses_nothing() {
    for_each_seed(|seed| {
        let (sender, receiver) = channel::bounded((seed % 2) as usize);
        let sending = spawn(move || {
            sleep(TICK);
            with_timeout(TICK, || sender.send(1).unwrap())
        });
        let first = with_timeout(TICK, || receiver.recv().unwrap());
        let second = with_timeout(TICK, || receiver.recv().unwrap());
        let sent = sending.join().unwrap().is_ok();
        let left = receiver.try_recv().is_ok();
        let received = usize::from(first.is_ok()) + usize::from(second.is_ok()) + usize::from(left);
        assert_eq!(received, usize::from(sent), "{first:?}, then {second:?}");
    });
}

#[test]
fn recv_timeout_waits_as_long_as_it_says() {
    for_each_seed(|_| {
        let (sender, receiver) = channel::bounded(1);
        assert_eq!(receiver.recv_timeout(TICK), Err(RecvTimeoutError::Timeout));
        sender.send(1).unwrap();
        assert_eq!(receiver.recv_timeout(Duration::ZERO), Ok(1), "it is there");
        let sending = spawn(move || {
            sleep(TICK / 2);
            sender.send(2).unwrap();
        });
        assert_eq!(receiver.recv_timeout(TICK), Ok(2));
        sending.join().unwrap();
    });
}

#[test]
fn an_interrupt_is_raised_even_where_nobody_would_wait() {
    for_each_seed(|_| {
        let (sender, receiver) = channel::bounded(2);
        sender.send(1).unwrap();
        assert_eq!(
            with_timeout(Duration::ZERO, || sender.send(2)),
            Err(Elapsed)
        );
        assert_eq!(
            with_timeout(Duration::ZERO, || receiver.recv()),
            Err(Elapsed)
        );
        assert_eq!(
            with_timeout(Duration::ZERO, || receiver.try_recv()),
            Ok(Ok(1))
        );
        let (sender, receiver) = channel::unbounded();
        assert_eq!(
            with_timeout(Duration::ZERO, || sender.send(3)),
            Ok(Ok(())),
            "never waits"
        );
        assert_eq!(receiver.try_recv(), Ok(3));
    });
}

#[test]
fn sides_show_themselves() {
    let (sender, receiver) = channel::bounded(3);
    sender.try_send(1).unwrap();
    assert_eq!(
        format!("{sender:?}"),
        "Sender { len: 1, capacity: Some(3), .. }"
    );
    assert_eq!(
        format!("{receiver:?}"),
        "Receiver { len: 1, capacity: Some(3), .. }"
    );
    assert_eq!(channel::unbounded::<()>().0.capacity(), None);
}
