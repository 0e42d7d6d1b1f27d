//! Which servers to ask for a name's addresses, which forms of the name to ask about, and their answers. Keeps no
//! answer.

use std::{net::IpAddr, path::Path, rc::Rc, time::Duration};

use hickory_resolver::{
    TokioResolver,
    config::{ConnectionConfig, NameServerConfig, ResolverConfig, ResolverOpts},
    net::{DnsError, NetError, runtime::TokioRuntimeProvider},
    proto::{
        op::ResponseCode,
        rr::{Name, RecordType},
    },
    system_conf::parse_resolv_conf,
};
use thalweg_config::Resolver;
use tokio::time::timeout;

/// The system's settings, used where the config names no server (resolv.conf(5)).
pub(super) const SYSTEM: &str = "/etc/resolv.conf";

/// The address families, in this order everywhere.
pub(super) const FAMILIES: [RecordType; 2] = [RecordType::A, RecordType::AAAA];

/// The servers to ask, and the settings that name them.
#[derive(Default)]
pub(super) struct Source {
    settings: Option<Resolver>,
    /// The system's settings as last read, where the config names no server.
    system: Option<Result<Vec<u8>, String>>,
    pub(super) asker: Option<Rc<Asker>>,
}

impl Source {
    /// Reads which servers to ask. Returns whether the names must start over. If the system's settings cannot be read,
    /// the known servers stay; an edge that starts without settings goes on looking for them.
    pub(super) fn renew(&mut self, settings: &Resolver, file: &Path) -> bool {
        // Read and compared as a whole: a time stamp would miss a second change within one tick of the kernel's clock.
        let read = || std::fs::read(file).map_err(|error| error.to_string());
        let system = settings.nameservers.is_empty().then(read);
        let before = self.settings.replace(settings.clone());
        let other_settings = before.as_ref() != Some(settings);
        if !other_settings && self.system == system {
            return false;
        }
        if before.is_some_and(|before| before.nameservers != settings.nameservers) {
            self.asker = None;
        }
        let made = asker_for(settings, system.as_ref());
        self.system = system;
        match made {
            Ok(asker) => self.asker = Some(Rc::new(asker)),
            Err(error) => {
                let kept = self.asker.is_some();
                let from = if self.system.is_some() { SYSTEM } else { "resolver.nameservers" };
                tracing::error!(from, %error, kept, "resolver settings are not usable");
                return other_settings;
            }
        }
        if !other_settings {
            tracing::info!(from = SYSTEM, "resolver settings read again");
        }
        true
    }
}

/// A resolver by the config's settings or by the system's.
fn asker_for(settings: &Resolver, system: Option<&Result<Vec<u8>, String>>) -> Result<Asker, String> {
    let (config, mut options) = match system {
        Some(text) => parse_resolv_conf(text.as_ref()?).map_err(|error| error.to_string())?,
        None => {
            let server = |address: &std::net::SocketAddr| {
                let mut connections = vec![ConnectionConfig::udp(), ConnectionConfig::tcp()];
                for connection in &mut connections {
                    connection.port = address.port();
                }
                NameServerConfig::new(address.ip(), true, connections)
            };
            let servers = settings.nameservers.iter().map(server).collect();
            (ResolverConfig::from_parts(None, Vec::new(), servers), ResolverOpts::default())
        }
    };
    // This crate watches the answers' lives: a cache below would hide their end.
    options.cache_size = 0;
    options.timeout = Duration::from_secs(2);
    options.attempts = 2;
    let mut search: Vec<Name> = config.domain().cloned().into_iter().collect();
    search.extend(config.search().iter().filter(|suffix| config.domain() != Some(suffix)).cloned());
    let ndots = options.ndots;
    let builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
    let resolver = builder.with_options(options).build().map_err(|error| error.to_string())?;
    Ok(Asker { resolver, search, ndots })
}

/// Looks up both families of a name.
#[derive(Debug)]
pub(super) struct Asker {
    resolver: TokioResolver,
    /// Domains appended to names that are not fully qualified.
    search: Vec<Name>,
    /// A name with at least this many dots is tried as it stands first.
    ndots: usize,
}

impl Asker {
    /// The wanted families of the name, and the form that has them. Each form is asked for both families before the next
    /// form, because the families of two different names must not be mixed. That rules out the resolver's own search,
    /// and its `lookup_ip`, which drops the failure of one family when the other answers.
    ///
    /// `early` gets the addresses of one family while the other has not answered within [`PATIENCE`] (RFC 8305
    /// section 3): a server that never answers one type must not delay the other.
    pub(super) async fn ask(
        &self,
        host: &str,
        wanted: [bool; 2],
        last: Option<&Name>,
        early: &impl AsyncFn(&Name, [Said; 2]),
    ) -> Result<Found, String> {
        let forms = self.forms(Name::from_utf8(host).map_err(|error| error.to_string())?);
        let ask = async |name: &Name, decides: bool| {
            let [v4, v6] = FAMILIES;
            match wanted {
                [true, true] => {}
                [true, false] => return [self.ask_one(name.clone(), v4).await, Said::Unasked],
                [false, _] => return [Said::Unasked, self.ask_one(name.clone(), v6).await],
            }
            let [a, aaaa] = FAMILIES.map(|family| Box::pin(self.ask_one(name.clone(), family)));
            let early = async |said| {
                if decides {
                    early(name, said).await;
                }
            };
            both(a, aaaa, early).await
        };
        Ok(search(forms, last, ask).await)
    }

    async fn ask_one(&self, name: Name, family: RecordType) -> Said {
        match self.resolver.lookup(name, family).await {
            Ok(found) => {
                let life = found.valid_until().saturating_duration_since(std::time::Instant::now());
                let mut addresses: Vec<IpAddr> =
                    found.answers().iter().filter_map(|record| record.data.ip_addr()).collect();
                addresses.sort_unstable();
                addresses.dedup();
                if addresses.is_empty() { Said::Nothing } else { Said::Found(addresses, life) }
            }
            Err(NetError::Dns(DnsError::NoRecordsFound(none))) => match none.response_code {
                ResponseCode::NXDomain => Said::Unknown,
                // A server that only refers to others has not answered (RFC 2308 section 2.2).
                _ if none.ns.is_some() && none.soa.is_none() => Said::Failed("referred elsewhere".into()),
                _ => Said::Nothing,
            },
            Err(error) => Said::Failed(error.to_string()),
        }
    }

    /// The full names that this name may stand for, most likely first (resolv.conf(5): search, ndots).
    fn forms(&self, name: Name) -> Vec<Name> {
        if name.is_fqdn() {
            return vec![name];
        }
        let whole_first = usize::from(name.num_labels()) > self.ndots || name.is_localhost();
        let mut forms: Vec<Name> =
            self.search.iter().filter_map(|suffix| name.clone().append_domain(suffix).ok()).collect();
        let mut whole = name;
        whole.set_fqdn(true);
        forms.insert(if whole_first { 0 } else { forms.len() }, whole);
        forms
    }
}

/// The second family is waited for at least this long, however short the first family's addresses hold.
const SHORTEST_WAIT: Duration = Duration::from_secs(1);

/// How long the second family may take after the first has brought addresses (RFC 8305 section 3).
const PATIENCE: Duration = Duration::from_millis(50);

/// The answers of both families. If one brings addresses and the other stays silent for [`PATIENCE`], `early` gets what
/// there is; the silent family is then waited for at most as long as those addresses hold.
async fn both<F: Future<Output = Said> + Unpin>(
    mut first: F,
    mut second: F,
    early: impl AsyncFn([Said; 2]),
) -> [Said; 2] {
    let (is_first, one) = tokio::select! {
        biased;
        said = &mut first => (true, said),
        said = &mut second => (false, said),
    };
    let other = if is_first { second } else { first };
    let paired = |one: Said, other: Said| if is_first { [one, other] } else { [other, one] };
    let Said::Found(_, life) = one else { return paired(one, other.await) };
    let mut other = std::pin::pin!(other);
    if let Ok(other) = timeout(PATIENCE, other.as_mut()).await {
        return paired(one, other);
    }
    early(paired(one.clone(), Said::Failed("not answered yet".into()))).await;
    let silent = Said::Failed("no answer".into());
    let other = timeout(life.max(SHORTEST_WAIT), other.as_mut()).await.unwrap_or(silent);
    paired(one, other)
}

/// The answer about one family of a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Said {
    /// These addresses, for this long.
    Found(Vec<IpAddr>, Duration),
    /// The name exists, without addresses of this family.
    Nothing,
    /// The name does not exist.
    Unknown,
    /// No server could answer.
    Failed(String),
    /// No endpoint uses this family.
    Unasked,
}

/// The answers about a name, and the form of it that has addresses.
pub(super) type Found = ([Said; 2], Option<Name>);

/// The first form that has an address. A form whose lookup failed may be the right one: its failure counts, and no
/// later form replaces a `last` good answer about another form. Without one, a later form may serve. `ask` is told
/// whether addresses of the form would decide.
async fn search(forms: Vec<Name>, last: Option<&Name>, ask: impl AsyncFn(&Name, bool) -> [Said; 2]) -> Found {
    // An answer about what is no form any more says nothing about which of these is meant.
    let last = last.filter(|last| forms.contains(last));
    let (mut said, mut failed) = ([Said::Unknown, Said::Unknown], None);
    for name in forms {
        let is_last = last == Some(&name);
        let decides = failed.is_none() || last.is_none() || is_last;
        said = ask(&name, decides).await;
        if said.iter().any(|said| matches!(said, Said::Found(..))) {
            match failed {
                Some(failed) if last.is_some() && !is_last => return (failed, None),
                _ => return (said, Some(name)),
            }
        }
        let failure = said.iter().find(|said| matches!(said, Said::Failed(_))).cloned();
        // What one form lacks must not empty a family of another.
        let whole = |failure: Said| if is_last { said.clone() } else { FAMILIES.map(|_| failure.clone()) };
        failed = failed.or(failure.map(whole));
        if is_last && failed.is_some() {
            break;
        }
    }
    (failed.unwrap_or(said), None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn one_family_serves_early_and_the_other_is_waited_for_while_it_holds() {
        let found = |last: u8| Said::Found(vec![[127, 0, 0, last].into()], Duration::from_secs(10));
        let after = |ms: u64, said: Said| {
            Box::pin(async move {
                tokio::time::sleep(Duration::from_millis(ms)).await;
                said
            })
        };
        let silent = Said::Failed("no answer".into());
        let waiting = Said::Failed("not answered yet".into());
        for (a, aaaa, early, both) in [
            ((1, found(1)), (40, found(2)), None, [found(1), found(2)]),
            ((1, found(1)), (400, found(2)), Some([found(1), waiting.clone()]), [found(1), found(2)]),
            ((400, found(1)), (1, found(2)), Some([waiting.clone(), found(2)]), [found(1), found(2)]),
            ((1, found(1)), (60_000, found(2)), Some([found(1), waiting.clone()]), [found(1), silent]),
            ((1, Said::Nothing), (400, found(2)), None, [Said::Nothing, found(2)]),
        ] {
            let seen = std::cell::RefCell::new(None);
            let said = super::both(after(a.0, a.1), after(aaaa.0, aaaa.1), async |said| {
                seen.replace(Some(said));
            });
            assert_eq!((said.await, seen.take()), (both, early));
        }
    }

    const ONE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    #[test]
    fn the_systems_settings_are_followed_and_their_loss_changes_nothing() {
        let scratch = thalweg_testkit::Scratch::new();
        let file = scratch.path().join("resolv.conf");
        let mut settings = Resolver {
            nameservers: Vec::new(),
            ttl_min: Duration::ZERO,
            ttl_max: Duration::ZERO,
            max_addresses: 1,
        };
        let mut source = Source::default();
        let mut check = |settings: &Resolver, text: Option<&str>, starts_over: bool, search: Option<&str>| {
            match text {
                Some(text) => std::fs::write(&file, text).unwrap(),
                None => drop(std::fs::remove_file(&file)),
            }
            assert_eq!(source.renew(settings, &file), starts_over, "{text:?}");
            let asker = source.asker.as_ref();
            let suffixes = asker.map(|asker| asker.search.iter().map(Name::to_string).collect::<String>());
            assert_eq!(suffixes.as_deref(), search, "{text:?}");
        };
        let (one, other) =
            ("nameserver 192.0.2.1\nsearch one.test\n", "nameserver 192.0.2.1\nsearch two.test\n");
        check(&settings, None, true, None);
        check(&settings, None, false, None);
        check(&settings, Some("search one.test\n"), false, None);
        check(&settings, Some(one), true, Some("one.test"));
        check(&settings, Some(one), false, Some("one.test"));
        check(&settings, Some(other), true, Some("two.test"));
        check(&settings, Some(""), false, Some("two.test"));
        check(&settings, None, false, Some("two.test"));
        check(&settings, Some(one), true, Some("one.test"));
        settings.max_addresses = 2;
        check(&settings, None, true, Some("one.test"));
        settings.nameservers.push("192.0.2.2:53".parse().unwrap());
        check(&settings, Some(other), true, Some(""));
        check(&settings, Some(one), false, Some(""));
        settings.nameservers.clear();
        check(&settings, None, true, None);
    }

    #[test]
    fn the_search_list_gives_the_forms_of_a_name() {
        let suffixes = ["a.test.", "b.test."].map(|suffix| Name::from_utf8(suffix).unwrap());
        let settings = Resolver {
            nameservers: vec!["127.0.0.1:53".parse().unwrap()],
            ttl_min: Duration::ZERO,
            ttl_max: Duration::ZERO,
            max_addresses: 1,
        };
        for (host, ndots, expected) in [
            ("api", 1, "api.a.test. api.b.test. api."),
            ("api.test", 1, "api.test. api.test.a.test. api.test.b.test."),
            ("api.test", 5, "api.test.a.test. api.test.b.test. api.test."),
            ("api.test.", 5, "api.test."),
        ] {
            let asker = asker_for(&settings, None).unwrap();
            let asker = Asker { search: suffixes.to_vec(), ndots, ..asker };
            let forms: Vec<String> =
                asker.forms(Name::from_utf8(host).unwrap()).iter().map(Name::to_string).collect();
            assert_eq!(forms.join(" "), expected);
        }
    }

    #[tokio::test(flavor = "current_thread")]
    async fn a_form_that_cannot_be_asked_about_keeps_the_last_good_answer() {
        // By form: + found, - nothing, ? no such name, ! failed; of two characters, the second is about AAAA.
        let said = |sign: u8, form: &str| match sign {
            b'+' => Said::Found(vec![ONE], Duration::ZERO),
            b'-' => Said::Nothing,
            b'?' => Said::Unknown,
            _ => Said::Failed(form.into()),
        };
        let both = |signs: &str, form: &str| {
            let signs = signs.as_bytes();
            [said(signs[0], form), said(*signs.last().unwrap(), form)]
        };
        for (last, signs, expected, asked) in [
            ("", ["+", "+", "+"], ("+", "a"), 1),
            ("", ["?", "-", "+"], ("+", "c"), 3),
            ("", ["!", "+", "?"], ("+", "b"), 2),
            ("", ["!", "?", "?"], ("! a", ""), 3),
            ("", ["?", "!", "-"], ("! b", ""), 3),
            ("", ["?", "?", "-"], ("-", ""), 3),
            ("a", ["!", "+", "?"], ("! a", ""), 1),
            ("a", ["!-", "+", "?"], ("!- a", ""), 1),
            ("a", ["!+", "+", "?"], ("!+ a", "a"), 1),
            ("a", ["?", "+", "?"], ("+", "b"), 2),
            ("c", ["!", "+", "+"], ("! a", ""), 2),
            ("c", ["!-", "?", "+"], ("+", "c"), 3),
            ("b", ["!-", "?", "+"], ("! a", ""), 2),
            ("c", ["+", "?", "+"], ("+", "a"), 1),
            ("gone", ["!", "+", "?"], ("+", "b"), 2),
        ] {
            let forms = ["a", "b", "c"].map(|form| Name::from_utf8(form).unwrap());
            let last = Some(last).filter(|last| !last.is_empty()).map(|last| Name::from_utf8(last).unwrap());
            let count = std::cell::Cell::new(0);
            let ask = async |name: &Name, _decides: bool| {
                count.set(count.get() + 1);
                let nth = forms.iter().position(|form| form == name).unwrap();
                both(signs[nth], &name.to_string())
            };
            let (found, form) = search(forms.to_vec(), last.as_ref(), ask).await;
            let (signs_expected, failed) = expected.0.split_once(' ').unwrap_or((expected.0, ""));
            let context = format!("{last:?} {signs:?}");
            assert_eq!(found, both(signs_expected, failed), "{context}");
            assert_eq!(form.map(|form| form.to_string()).unwrap_or_default(), expected.1, "{context}");
            assert_eq!(count.get(), asked, "{context}");
        }
    }
}
