//! The hosts of a URL, each to be tried by itself: one that says nothing must not keep the next from being asked.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::net::IpAddr;

use tokio_postgres::Config;
use tokio_postgres::config::{Host, LoadBalanceHosts};

use crate::error::{Error, Result};

/// One host of a URL, with all else that the URL says.
pub(super) struct Place {
    /// Its name and port, for messages.
    pub(super) name: String,
    config: Config,
    host: Option<Host>,
    address: Option<IpAddr>,
    port: u16,
}

impl Place {
    /// What to connect with, for each of the host's addresses.
    pub(super) async fn addresses(&self, url: &str) -> Result<Vec<Config>> {
        let with = |address: Option<IpAddr>| {
            let mut config = self.config.clone();
            match &self.host {
                Some(Host::Tcp(name)) => {
                    config.host(name);
                }
                Some(Host::Unix(path)) => {
                    config.host_path(path);
                }
                None => {}
            }
            if let Some(address) = address {
                config.hostaddr(address);
            }
            config
        };
        match (&self.host, self.address) {
            (Some(Host::Tcp(name)), None) => {
                let found = tokio::net::lookup_host((name.as_str(), self.port)).await;
                let found = found.map_err(|error| Error::Unavailable {
                    url: url.to_owned(),
                    why: format!("error connecting to server: {error} ({})", self.name),
                })?;
                Ok(found.map(|address| with(Some(address.ip()))).collect())
            }
            (_, address) => Ok(vec![with(address)]),
        }
    }
}

/// The hosts in the order in which they are to be asked, with more options.
pub(super) fn places(config: &Config, options: &str) -> Vec<Place> {
    let (hosts, addresses, ports) = (config.get_hosts(), config.get_hostaddrs(), config.get_ports());
    let names = names(config);
    let place = |(at, name): (usize, String)| {
        let port = ports.get(at).or(ports.first()).copied().unwrap_or(5432);
        Place {
            name: format!("{name}:{port}"),
            config: without_hosts(config, port, options),
            host: hosts.get(at).cloned(),
            address: addresses.get(at).copied(),
            port,
        }
    };
    let mut places: Vec<Place> = names.into_iter().enumerate().map(place).collect();
    if config.get_load_balance_hosts() == LoadBalanceHosts::Random {
        // The hasher of nothing, which is of another seed each time.
        places.sort_by_cached_key(|_| RandomState::new().build_hasher().finish());
    }
    places
}

/// The hosts as the URL names them: names, directories of sockets, or else addresses.
pub(super) fn names(config: &Config) -> Vec<String> {
    if config.get_hosts().is_empty() {
        return config.get_hostaddrs().iter().map(ToString::to_string).collect();
    }
    let name = |host: &Host| match host {
        Host::Tcp(name) => name.clone(),
        Host::Unix(path) => path.display().to_string(),
    };
    config.get_hosts().iter().map(name).collect()
}

/// All but the hosts. The driver can add hosts, and take none away.
fn without_hosts(config: &Config, port: u16, options: &str) -> Config {
    let mut one = Config::new();
    if let Some(user) = config.get_user() {
        one.user(user);
    }
    if let Some(password) = config.get_password() {
        one.password(password);
    }
    if let Some(database) = config.get_dbname() {
        one.dbname(database);
    }
    if let Some(name) = config.get_application_name() {
        one.application_name(name);
    }
    let options = format!("{} {options}", config.get_options().unwrap_or_default());
    if !options.trim().is_empty() {
        one.options(options.trim());
    }
    if let Some(limit) = config.get_tcp_user_timeout() {
        one.tcp_user_timeout(*limit);
    }
    if let Some(interval) = config.get_keepalives_interval() {
        one.keepalives_interval(interval);
    }
    if let Some(tries) = config.get_keepalives_retries() {
        one.keepalives_retries(tries);
    }
    one.port(port)
        .ssl_mode(config.get_ssl_mode())
        .ssl_negotiation(config.get_ssl_negotiation())
        .keepalives(config.get_keepalives())
        .keepalives_idle(config.get_keepalives_idle())
        .target_session_attrs(config.get_target_session_attrs())
        .channel_binding(config.get_channel_binding());
    one
}
