//! What the attributes turn a function into.

use proc_macro2::TokenStream;
use quote::quote;

use crate::arguments::Arguments;
use crate::function::{Error, Function};

pub(crate) fn test(arguments: TokenStream, item: TokenStream) -> Result<TokenStream, Error> {
    let known = [
        "seed",
        "seeds",
        "network",
        "real",
        "workers",
        "leaks",
        "deny_lints",
    ];
    let arguments = Arguments::parse(arguments, &known)?;
    let function = Function::parse(item)?;
    let (may_leak, deny_lints) = (may_leak(&arguments)?, arguments.flag("deny_lints")?);
    let rules = quote! {
        ::grapeshot::__macros::Rules { may_leak: #may_leak, deny_lints: #deny_lints }
    };
    let name = &function.name;
    let call = if arguments.flag("real")? {
        let only = "only a simulation has that; leave out `real`";
        arguments.refuse(&["seed", "seeds", "network"], only)?;
        let workers = workers(&arguments)?;
        quote! { ::grapeshot::__macros::test_for_real(#workers, #rules, #name) }
    } else {
        let why = "a simulation has one worker; write `real`, too, to have a runtime with more";
        arguments.refuse(&["workers"], why)?;
        let (simulation, seeds) = simulation(&arguments)?;
        quote! { ::grapeshot::__macros::test_simulated(#simulation, #seeds, #rules, #name) }
    };
    let Function {
        attributes,
        visibility,
        returns,
        body,
        ..
    } = &function;
    Ok(quote! {
        #[::core::prelude::v1::test]
        #attributes
        #visibility fn #name() {
            fn #name() #returns #body
            #call
        }
    })
}

pub(crate) fn main(arguments: TokenStream, item: TokenStream) -> Result<TokenStream, Error> {
    let arguments = Arguments::parse(arguments, &["workers"])?;
    let workers = workers(&arguments)?;
    let Function {
        attributes,
        visibility,
        name,
        returns,
        body,
    } = Function::parse(item)?;
    Ok(quote! {
        #attributes
        #visibility fn #name() -> ::std::process::ExitCode {
            fn #name() #returns #body
            ::grapeshot::__macros::main(#workers, #name)
        }
    })
}

/// The simulation, and the seeds to try it with, if there are several.
fn simulation(arguments: &Arguments) -> Result<(TokenStream, TokenStream), Error> {
    let seeds = arguments.value("seeds", "0..100")?;
    let seed = arguments.value("seed", "7")?;
    let seeds = match seeds {
        Some(seeds) => {
            arguments.refuse(
                &["seed"],
                "the seeds are given by `seeds`; leave one of them out",
            )?;
            quote! { ::core::option::Option::Some(#seeds) }
        }
        None => quote! { ::core::option::Option::None },
    };
    let seed = seed.cloned().unwrap_or_else(|| quote! { 0 });
    let network = arguments.optional("network").map(|config| {
        let usual = quote! { ::grapeshot::testing::NetworkConfig::new() };
        let config = config.unwrap_or(&usual);
        quote! { .network(#config) }
    });
    let simulation = quote! { ::grapeshot::testing::Simulation::new(#seed) #network };
    Ok((simulation, seeds))
}

fn workers(arguments: &Arguments) -> Result<TokenStream, Error> {
    let workers = arguments.value("workers", "2")?;
    Ok(match workers {
        Some(workers) => quote! { ::core::option::Option::Some(#workers) },
        None => quote! { ::core::option::Option::None },
    })
}

fn may_leak(arguments: &Arguments) -> Result<bool, Error> {
    match arguments.value("leaks", "allow")? {
        None => Ok(false),
        Some(value) if value.to_string() == "allow" => Ok(true),
        Some(value) => {
            let why = format!("`leaks` can only be `allow`, not `{value}`");
            Err(Error::new(arguments.span("leaks"), why))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit() {
        for (arguments, complaint) in [
            (
                "sede = 7",
                "there is no argument `sede`; there are seed, seeds",
            ),
            ("\"real\"", "expected an argument's name"),
            ("seed", "`seed` needs a value: `seed = 7`"),
            ("seed = ", "`seed =` lacks its value"),
            ("seed: 7", "expected `,` or `=` after `seed`"),
            ("seed = 7, seed = 8", "`seed` is given twice"),
            ("seed = 7, seeds = 0..9", "leave one of them out"),
            ("workers = 2", "a simulation has one worker"),
            ("real, seed = 7", "only a simulation has that"),
            ("real, network", "only a simulation has that"),
            ("real = 2", "`real` has no value"),
            ("leaks = deny", "can only be `allow`, not `deny`"),
            ("leaks", "`leaks` needs a value"),
            ("deny_lints = all", "`deny_lints` has no value"),
        ] {
            let item = quote! { fn f() {} };
            let error = test(arguments.parse().unwrap(), item)
                .unwrap_err()
                .to_string();
            assert!(error.contains(complaint), "{arguments}: {error}");
        }
        let error = main(quote! { real }, quote! { fn main() {} }).unwrap_err();
        assert_eq!(
            error.to_string(),
            "there is no argument `real`; there are workers"
        );
    }

    #[test]
    fn what_fits() {
        for arguments in [
            "",
            "seed = 7,",
            "seeds = 0..9, network, leaks = allow",
            "real, workers = 2",
            "real, deny_lints",
        ] {
            test(arguments.parse().unwrap(), quote! { fn f() {} }).unwrap();
        }
    }
}
