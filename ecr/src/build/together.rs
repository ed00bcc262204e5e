//! Compiling the executables of several services before their images are built.

use ecr_types::lock;

use crate::build::compile;
use crate::build::image::ImageBuilder;
use crate::config::desired::Service;

impl ImageBuilder {
    /// The number of images to build at the same time.
    pub fn parallelism(&self) -> usize {
        self.layers.threads().get()
    }

    /// Compiles services for all their platforms, as many as possible by one invocation of cargo. `on_ready` is called with the
    /// number of each service whose executables are all there. The other services are compiled when their images are built,
    /// which tells why they failed. `stop` ends the compilation.
    pub fn compile_together(
        &self,
        services: &[Service],
        stop: &compile::Stop,
        on_ready: impl Fn(usize),
        on_warnings: impl Fn(&str),
        on_line: compile::OnLine<'_>,
    ) {
        let wanted = self.wanted(services);
        let mut left: Vec<_> =
            (0..services.len()).map(|n| wanted.iter().filter(|it| it.0 == n).count()).collect();
        let requests: Vec<_> = wanted.iter().map(|(_, service, target)| (*service, target)).collect();
        let _guard = lock(&self.cargo);
        let on_event = |event: compile::Event<'_>| match event {
            compile::Event::Warnings(text) => on_warnings(text),
            compile::Event::Built(request, compiled) => {
                let (n, service, target) = &wanted[request];
                let key = (service.name.clone(), target.platform.clone());
                if lock(&self.compiled).insert(key, compiled).is_none() {
                    left[*n] -= 1;
                    if left[*n] == 0 {
                        on_ready(*n);
                    }
                }
            }
        };
        // A cargo that cannot be run cannot be run for one service either, and that is reported.
        let _ = compile::build_together(&self.options, &requests, stop, on_line, on_event);
    }

    /// Finds out which services [`ImageBuilder::compile_together`] compiles by one invocation of cargo.
    pub fn prepare_compilation(&self, services: &[Service]) {
        let wanted = self.wanted(services);
        let requests: Vec<_> = wanted.iter().map(|(_, service, target)| (*service, target)).collect();
        if services.len() > 1 {
            compile::prepare_together(&self.options, &requests);
        }
    }

    /// Whether all services have been compiled before, in this target folder.
    pub fn were_compiled(&self, services: &[Service]) -> bool {
        let wanted = self.wanted(services);
        let requests: Vec<_> = wanted.iter().map(|(_, service, target)| (*service, target)).collect();
        compile::were_built(&self.options, &requests)
    }

    /// The executables to compile, each with the number of its service.
    fn wanted<'a>(&self, services: &'a [Service]) -> Vec<(usize, &'a Service, compile::BuildTarget)> {
        let wanted = services.iter().enumerate().flat_map(|(n, service)| {
            let platforms = self.platforms(service);
            let missing: Vec<_> =
                platforms.iter().filter(|it| !self.binaries.contains_key(*it)).cloned().collect();
            missing.into_iter().map(move |platform| (n, service, platform))
        });
        wanted
            .filter_map(|(n, service, platform)| Some((n, service, self.toolchain.target(&platform).ok()?)))
            .collect()
    }
}
