//! How an [`Entry`]'s functions become callable: with its name, behind its right.

use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use rhai::{Engine, NativeCallContext, Scope, Variant};

use super::{Answer, Console, Entry};

/// Takes the functions of one entry.
pub(crate) struct Binder<'a> {
    engine: &'a mut Engine,
    scope: &'a mut Scope<'static>,
    console: &'a Arc<Console>,
    entry: &'static Entry,
}

impl<'a> Binder<'a> {
    pub(super) fn new(
        engine: &'a mut Engine,
        scope: &'a mut Scope<'static>,
        console: &'a Arc<Console>,
        entry: &'static Entry,
    ) -> Self {
        Self {
            engine,
            scope,
            console,
            entry,
        }
    }

    /// A function `fn(&Console, ..) -> Answer` with up to three arguments of the language's types (`INT`, `f64`, `bool`,
    /// `ImmutableString`, `Array`, `Map`, `FnPtr`, `Dynamic` for any), or a method `fn(&Console, &mut T, ..) -> Answer`; what calls functions of the language takes a
    /// `NativeCallContext` behind the console.
    pub(crate) fn add<Arguments>(&mut self, body: impl Body<Arguments>) {
        body.bind(self);
    }

    /// The value that the methods of `name` are called on: `profile.start()`. The same for all entries of a subject.
    pub(crate) fn receiver<V: Variant + Clone>(&mut self, name: &str, value: V) {
        if !self.scope.contains(name) {
            self.engine.register_type_with_name::<V>(name);
            self.scope.push_constant(name, value);
        }
    }
}

/// What can be bound; `Arguments` only tells the implementations apart.
pub(crate) trait Body<Arguments> {
    fn bind(self, to: &mut Binder<'_>);
}

/// The arguments of a method.
pub(crate) struct Method<Arguments>(PhantomData<Arguments>);

/// The arguments of a function that calls others.
pub(crate) struct Calling<Arguments>(PhantomData<Arguments>);

macro_rules! body {
    ($($argument:ident),*) => {
        impl<Function, $($argument),*> Body<($($argument,)*)> for Function
        where
            Function: Fn(&Console, $($argument),*) -> Answer + Send + Sync + 'static,
            $($argument: Variant + Clone,)*
        {
            #[allow(non_snake_case)]
            fn bind(self, to: &mut Binder<'_>) {
                let (console, entry) = (Arc::clone(to.console), to.entry);
                to.engine.register_fn(entry.name, move |$($argument: $argument),*| -> Answer {
                    measured(&console, entry, || self(&console, $($argument),*))
                });
            }
        }

        impl<Function, Receiver, $($argument),*> Body<Method<(Receiver, $($argument,)*)>> for Function
        where
            Function: Fn(&Console, &mut Receiver, $($argument),*) -> Answer + Send + Sync + 'static,
            Receiver: Variant + Clone,
            $($argument: Variant + Clone,)*
        {
            #[allow(non_snake_case)]
            fn bind(self, to: &mut Binder<'_>) {
                let (console, entry) = (Arc::clone(to.console), to.entry);
                to.engine.register_fn(
                    entry.name,
                    move |receiver: &mut Receiver, $($argument: $argument),*| -> Answer {
                        measured(&console, entry, || self(&console, receiver, $($argument),*))
                    },
                );
            }
        }

        impl<Function, $($argument),*> Body<Calling<($($argument,)*)>> for Function
        where
            Function: for<'c> Fn(&Console, NativeCallContext<'c>, $($argument),*) -> Answer
                + Send
                + Sync
                + 'static,
            $($argument: Variant + Clone,)*
        {
            #[allow(non_snake_case)]
            fn bind(self, to: &mut Binder<'_>) {
                let (console, entry) = (Arc::clone(to.console), to.entry);
                to.engine.register_fn(
                    entry.name,
                    move |context: NativeCallContext<'_>, $($argument: $argument),*| -> Answer {
                        measured(&console, entry, || self(&console, context, $($argument),*))
                    },
                );
            }
        }
    };
}

/// Calls a function of the console if its session may, and counts what that costs.
fn measured(console: &Console, entry: &'static Entry, call: impl FnOnce() -> Answer) -> Answer {
    console.may(entry.right, entry.call)?;
    let before = grapeshot::time::now();
    let answer = call();
    let took = grapeshot::time::now().saturating_duration_since(before);
    let lost = console.lost.swap(0, Ordering::Relaxed);
    console.shared.costs.add(entry.call, took, lost);
    answer
}

body!();
body!(A);
body!(A, B);
body!(A, B, C);
