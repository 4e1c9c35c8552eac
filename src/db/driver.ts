import postgres from 'postgres'
import { isStale } from './errors.ts'

export type Client = postgres.Sql

const prototype = Object.getPrototypeOf(postgres({ max: 1 }).unsafe('')) as object

// postgres.js sends a statement whose plan went stale (a migration changed a type of it) once more, behind those that were sent
// meanwhile; from then on it takes their answers for each other's, and a user is answered the row of another. Before it does it
// sets this member: here the statement fails instead, and whoever sent it sends it again (`again`). The version is pinned for it.
Object.defineProperty(prototype, 'retried', {
  set(this: { cancelled: unknown; reject(error: unknown): void }, error: unknown) {
    this.cancelled = true
    this.reject(error)
  }
})

/** postgres.js, without its own retry of stale statements. */
export const open: typeof postgres = postgres

/**
 * Does what failed because a prepared statement was stale once more: it failed before it did anything, and is prepared anew.
 *
 * @param most as many times as there are connections that may have prepared it
 */
export async function again<R>(most: number, work: () => Promise<R>): Promise<R> {
  try {
    return await work()
  } catch (error) {
    if (most === 0 || !isStale(error)) throw error
    return again(most - 1, work)
  }
}
