import { ConfigError } from '../../src/config/error.ts'
import { type Options, declare as typed } from '../../src/resource/declaration.ts'
import type { ResourceTable } from '../../src/resource/table.ts'

/** Declares a resource as untyped code can. `test/src/resource/types.test.ts` holds what the compiler refuses. */
export const declare = (table: ResourceTable, options: object) =>
  typed(table, { name: 'thing', members: {}, ...options } as unknown as Options<ResourceTable, object>)

/** The sentences for which a declaration is refused. */
export function faultsOf(table: ResourceTable, options: object): string[] {
  try {
    declare(table, options)
  } catch (error) {
    if (error instanceof ConfigError) return error.faults
    throw error
  }
  return []
}
