/** The package: the application as a Fastify plugin, and what starts it as production does. */

export { type Config, ConfigError, loadConfig } from '../config/config.ts'
export type { Project } from '../project.ts'
export { app as default, type Options, serverOptions, start } from '../server.ts'
export type * as Plugins from './types.ts'
