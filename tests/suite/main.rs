//! The store as its users meet it: the real binary, real interpreters, real wheels, real processes.
//!
//! Most tests make their own wheels and work offline; `real_index` asks the package index and says loudly when it does not.

mod after_boot;
mod beside;
mod campaign;
mod children;
mod collect;
mod commands;
mod cost;
mod crash;
mod declare;
mod doctor;
mod environment;
mod events;
mod failures;
mod filesystems;
mod formats;
mod fresh;
mod hostile;
mod index;
mod installers;
mod interpreters;
mod ladder;
mod leave;
mod like;
mod limits;
mod links;
mod objects;
mod readers;
mod real_index;
mod repair;
mod rollback;
mod roots;
mod seal;
mod secrets;
mod share;
mod sites;
mod support;
mod together;
mod undeletable;
mod upgrade;
mod zoo;
