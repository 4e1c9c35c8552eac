import { fileURLToPath } from 'node:url'

/** A migrated folder of the embedded database, made by setup.ts. */
export const TEMPLATE = fileURLToPath(new URL('../.template/pg', import.meta.url))
