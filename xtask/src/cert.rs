//! `cargo xtask cert`: a certificate authority of one's own, and certificates of it, for trying TLS out.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use grapeshot_tls::demo::{Authority, Identity};

use crate::place;

#[derive(clap::Args)]
pub(crate) struct Options {
    /// The names of the server: DNS names, wildcards, addresses.
    #[arg(default_values_t = ["localhost", "127.0.0.1", "::1"].map(String::from))]
    names: Vec<String>,
    /// Also makes a certificate for a client with this name.
    #[arg(long, value_name = "NAME")]
    client: Option<String>,
    /// Where the files go; an authority that is there already is used again. Default: target/cert.
    #[arg(long)]
    folder: Option<PathBuf>,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    let folder = options
        .folder
        .clone()
        .unwrap_or_else(|| place::target().join("cert"));
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let (authority, is_new) = authority(&folder)?;
    let site = authority.host(&options.names).issue()?;
    store(&folder, "site", &site)?;
    println!("for {}:", options.names.join(", "));
    println!("  {}", folder.join("site.pem").display());
    println!("  {}", folder.join("site.key").display());
    if let Some(name) = &options.client {
        store(&folder, "client", &authority.client(name).issue()?)?;
        println!("for the client {name}:");
        println!("  {}", folder.join("client.pem").display());
        println!("  {}", folder.join("client.key").display());
    }
    tell_how_to_trust(&folder.join("ca.pem"), is_new);
    Ok(())
}

/// The one that is in the folder, or a new one, which is put there.
fn authority(folder: &Path) -> Result<(Authority, bool)> {
    let (certificate, key) = (folder.join("ca.pem"), folder.join("ca.key"));
    if certificate.exists() && key.exists() {
        let text = |path: &Path| {
            fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
        };
        let authority = Authority::from_pem(&text(&certificate)?, &text(&key)?)
            .with_context(|| format!("{} is not what it should be", key.display()))?;
        return Ok((authority, false));
    }
    let authority = Authority::new()?;
    fs::write(&certificate, authority.certificate_pem())
        .with_context(|| format!("cannot write {}", certificate.display()))?;
    store_key(&key, authority.key_pem())?;
    Ok((authority, true))
}

fn store(folder: &Path, name: &str, identity: &Identity) -> Result<()> {
    let chain = folder.join(format!("{name}.pem"));
    fs::write(&chain, &identity.chain_pem)
        .with_context(|| format!("cannot write {}", chain.display()))?;
    store_key(&folder.join(format!("{name}.key")), &identity.key_pem)
}

/// For its owner's eyes only.
fn store_key(path: &Path, pem: &str) -> Result<()> {
    let write = || {
        // One that is there may be readable by others.
        let _ = fs::remove_file(path);
        let mut options = OpenOptions::new();
        let mut file = options
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path)?;
        file.write_all(pem.as_bytes())
    };
    write().with_context(|| format!("cannot write {}", path.display()))
}

fn tell_how_to_trust(authority: &Path, is_new: bool) {
    let path = authority.display();
    println!();
    if !is_new {
        println!("They are signed by the authority of before, {path}.");
        return;
    }
    println!(
        "They are signed by the new authority {path}. Who trusts it trusts whoever has its key, ca.key beside it, with any \
         name: keep the key to yourself, and remove the trust when you are done.\n\
         \n\
         One program:     curl --cacert {path} https://localhost:...\n\
         \x20                SSL_CERT_FILE={path} any program that uses OpenSSL, or Grapeshot's client\n\
         Debian, Ubuntu:  sudo cp {path} /usr/local/share/ca-certificates/grapeshot-demo.crt && sudo update-ca-certificates\n\
         Fedora:          sudo cp {path} /etc/pki/ca-trust/source/anchors/ && sudo update-ca-trust\n\
         macOS:           security add-trusted-cert -k ~/Library/Keychains/login.keychain-db {path}\n\
         Chromium:        certutil -d sql:$HOME/.pki/nssdb -A -t C,, -n grapeshot-demo -i {path} (package libnss3-tools)\n\
         Firefox:         Settings, Privacy & Security, View Certificates, Authorities, Import"
    );
}
