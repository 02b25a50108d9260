//! Services by number: contributions to graphs name them often.

use std::collections::HashMap;

use model::Service;

/// The services of a partition's traces, each with a number.
#[derive(Default)]
pub(crate) struct Interned {
    services: Vec<Service>,
    numbers: HashMap<Service, u32>,
}

impl Interned {
    /// Returns the services, each at its number.
    pub(super) fn services(&self) -> &[Service] {
        &self.services
    }

    /// Returns the services, each at its number.
    pub(crate) fn into_services(self) -> Vec<Service> {
        self.services
    }

    /// Returns the number of a service, giving one out if it is new.
    pub(crate) fn number(&mut self, service: &Service) -> u32 {
        if let Some(number) = self.numbers.get(service) {
            return *number;
        }
        let number = u32::try_from(self.services.len()).unwrap_or(u32::MAX);
        self.services.push(service.clone());
        self.numbers.insert(service.clone(), number);
        number
    }
}
