import type { Changes } from './changes.ts'

/** What a resource needs of the client. */
export interface Service {
  /**
   * Sends a request, through the types of no document: `Resource` has those of its items.
   *
   * @throws {Problem}
   */
  request(method: string, path: string, init: object): Promise<{ data?: unknown; response: Response }>
  /** The OpenAPI document of the service. It is read once. */
  document(): Promise<unknown>
  readonly changes: Changes
  /** The time by the clock of the issuer, in milliseconds. */
  now(): number
}
