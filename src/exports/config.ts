/** The configuration, from the environment (docs/configuration.md). */
export { type Config, ConfigError, loadConfig } from '../config/config.ts'
