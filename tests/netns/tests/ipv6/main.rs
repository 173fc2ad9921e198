//! IPv6 with real traffic: services and their checks, path MTU, fragments, and roles by VRRP, with evenkeel and with
//! keepalived as partner.

mod roles;
mod services;
mod world;
