//! The document as a whole: `[director]`, `[tables]`, `[sync]`, the virtual routers and the services.

use std::time::Duration;

use evenkeel_model::{Director, TableSizes, XdpPreference};
use toml::de::DeTable;

use crate::diagnostic::{Faults, Reported};
use crate::overlap::Addresses;
use crate::reader::{Field, Section};
use crate::{keys, service, sync, virtual_router};

/// Longest wait for the first round of checks where the file gives none.
const STARTUP_WAIT: Duration = Duration::from_secs(10);
const STARTUP_WAIT_MAX: Duration = Duration::from_secs(3600);

const TABLE_SIZES: std::ops::RangeInclusive<i64> = 1_024..=16_777_216;

/// Longest name of an interface in bytes: the kernel's IFNAMSIZ less the final zero.
const INTERFACE_NAME_MAX: usize = 15;

pub(crate) fn read<'t>(
    document: &'t DeTable<'t>,
    default_name: &str,
    faults: &mut Faults<'_>,
) -> Result<Director, Reported> {
    let root = Section::new(&keys::ROOT, document, 0..0, faults);
    let director = read_director(&root, default_name, faults);
    let tables = read_tables(&root, faults);
    let own = director.as_ref().map_or("", |director| &director.name);
    let sync = match root.get(&keys::SYNC_TABLE) {
        Some(field) => sync::read(&field, own, faults).map(|sync| Some(Box::new(sync))),
        None => Ok(None),
    };
    let mut addresses = Addresses::default();
    let virtual_routers = match root.get(&keys::ROUTERS) {
        Some(field) => virtual_router::read_all(&field, &mut addresses, faults),
        None => Ok(Vec::new()),
    };
    let services = match root.get(&keys::SERVICES) {
        Some(field) => service::read_all(&field, &mut addresses, faults),
        None => Ok(Vec::new()),
    };
    addresses.check(faults);
    Ok(Director {
        tables: tables?,
        sync: sync?,
        virtual_routers: virtual_routers?,
        services: services?,
        ..director?
    })
}

/// Reads `[director]`; the tables, sync, virtual routers and services of the result are defaults.
fn read_director(
    root: &Section<'_>,
    default_name: &str,
    faults: &mut Faults<'_>,
) -> Result<Director, Reported> {
    let Some(field) = root.get(&keys::DIRECTOR_TABLE) else {
        return Err(root.misspelled(&keys::DIRECTOR_TABLE).unwrap_or_else(|| {
            faults.add(
                root.span.clone(),
                "there is no `[director]`",
                "the table `[director]`",
                "begin the file with the lines `[director]` and `interface = \"eth0\"`",
            )
        }));
    };
    let section = field.section(&keys::DIRECTOR, faults)?;
    let name = match section.get(&keys::NAME) {
        Some(field) => field.word(faults),
        None => Ok(default_name),
    };
    let interface = section
        .require(&keys::INTERFACE, faults)
        .and_then(|field| read_interface(&field, faults));
    let more_interfaces = match section.get(&keys::MORE_INTERFACES) {
        Some(field) => read_more_interfaces(&field, interface.as_deref().ok(), faults),
        None => Ok(Vec::new()),
    };
    let xdp = match section.get(&keys::XDP) {
        Some(field) => read_xdp(&field, faults),
        None => Ok(XdpPreference::Auto),
    };
    let startup_wait = match section.get(&keys::STARTUP_WAIT) {
        Some(field) => field.duration(Duration::ZERO..=STARTUP_WAIT_MAX, faults),
        None => Ok(STARTUP_WAIT),
    };
    Ok(Director {
        name: name?.to_owned(),
        interface: interface?,
        more_interfaces: more_interfaces?,
        xdp: xdp?,
        tables: TableSizes::default(),
        startup_wait: startup_wait?,
        sync: None,
        virtual_routers: Vec::new(),
        services: Vec::new(),
    })
}

fn read_interface(field: &Field<'_>, faults: &mut Faults<'_>) -> Result<String, Reported> {
    let name = field.word(faults)?;
    // What the kernel accepts: `dev_valid_name` in net/core/dev.c.
    let what = if name.len() > INTERFACE_NAME_MAX {
        "is too long"
    } else if name.contains(['/', ':']) || name == "." || name == ".." {
        "can't be the name of an interface"
    } else {
        return Ok(name.to_owned());
    };
    Err(field.fault(
        format!("`{name}` {what}"),
        format!("the name of an interface, 1 to {INTERFACE_NAME_MAX} bytes"),
        "`ip -brief link` lists the interfaces of this machine; write one of them",
        faults,
    ))
}

/// Reads further interfaces, none of which may come twice or be the first one.
fn read_more_interfaces(
    field: &Field<'_>,
    first: Option<&str>,
    faults: &mut Faults<'_>,
) -> Result<Vec<String>, Reported> {
    let mut names: Vec<String> = Vec::new();
    let mut reported = None;
    for entry in field.entries(&keys::MORE_INTERFACES_ENTRY, faults)? {
        match read_interface(&entry, faults) {
            Ok(name) if first == Some(&name) || names.contains(&name) => {
                reported = Some(entry.fault(
                    format!("interface `{name}` is named twice"),
                    "interfaces other than `interface`, each once",
                    "remove it here",
                    faults,
                ));
            }
            Ok(name) => names.push(name),
            Err(error) => reported = Some(error),
        }
    }
    reported.map_or(Ok(names), Err)
}

fn read_xdp(field: &Field<'_>, faults: &mut Faults<'_>) -> Result<XdpPreference, Reported> {
    let supported = [
        ("auto", XdpPreference::Auto),
        ("native", XdpPreference::Native),
        ("generic", XdpPreference::Generic),
    ];
    field.choice("XDP mode", &supported, &[], faults)
}

fn read_tables(root: &Section<'_>, faults: &mut Faults<'_>) -> Result<TableSizes, Reported> {
    let default = TableSizes::default();
    let Some(field) = root.get(&keys::TABLES_TABLE) else {
        return Ok(default);
    };
    let section = field.section(&keys::TABLES, faults)?;
    let connections = match section.get(&keys::CONNECTIONS) {
        Some(field) => field.integer(TABLE_SIZES, faults),
        None => Ok(default.connections),
    };
    let half_open = match section.get(&keys::HALF_OPEN) {
        Some(field) => field.integer(TABLE_SIZES, faults),
        None => Ok(default.half_open),
    };
    Ok(TableSizes {
        connections: connections?,
        half_open: half_open?.next_power_of_two(),
    })
}
