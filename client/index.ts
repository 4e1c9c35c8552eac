import createFetchClient, { type Client as FetchClient } from 'openapi-fetch'
import { Changes } from './changes.ts'
import { Listeners } from './listeners.ts'
import { Resource } from './resource.ts'
import { Sender, type Wait } from './send.ts'
import type { Service } from './service.ts'
import { type FetchToken, TokenSource } from './token.ts'
import type { ChangeOf, DraftOf, ItemOf, QueryOf, ResourcePath } from './types.ts'

export type { Changes } from './changes.ts'
export { type Live, live, type Snapshot } from './live.ts'
export { type Issue, Problem } from './problem.ts'
export type { Batch, BatchResult, ChangeOptions, List, Options, Page, Resource } from './resource.ts'
export type { Wait } from './send.ts'
export type { Change } from './stream.ts'
export type { FetchToken } from './token.ts'
export type { ChangeOf, DraftOf, ItemOf, QueryOf, ResourcePath, Row } from './types.ts'

export interface ClientOptions {
  /** The URL of the service: `https://api.example.com`. Relative to the page in browsers. */
  url: string
  /**
   * Returns a new token, or null when nobody is signed in. It is asked when the first call needs a token, shortly
   * before a token expires, and after a 401 that a new token cures. It may take 15 seconds.
   */
  token: FetchToken
  /** Told when a request waits because the service asks for it, or because the connection was lost. */
  onWait?: ((wait: Wait) => void) | undefined
}

type ResourceAt<Paths, P extends ResourcePath<Paths> & keyof Paths> = Resource<
  ItemOf<Paths, P>,
  DraftOf<Paths, P> & object,
  ChangeOf<Paths, P> & object,
  QueryOf<Paths, P> & object
>

/** The service for one user, typed by the document that `openapi-typescript` reads. */
export interface Client<Paths extends object> {
  /** Every operation of the document, with the token, the retries and the errors of the client (openapi-fetch). */
  api: FetchClient<Paths>
  /** The resource at a path. Each call returns the same one. */
  resource<P extends ResourcePath<Paths> & keyof Paths>(path: P): ResourceAt<Paths, P>
  /** The changes of all resources, as they happen. */
  changes(): Changes
  /** Calls the listener when the user has signed out, or another one has signed in. Returns what ends it. */
  onSignedOut(listener: () => void): () => void
  /** Ends the client, and those of the user's other tabs: calls reject with `signed_out`. */
  signOut(): void
  /** Ends the stream of this tab, if nobody needs the client any more. */
  close(): void
}

/** Makes a client for the user who is signed in. Make another one for another user. */
export function createClient<Paths extends object>({ url, token, onWait = () => {} }: ClientOptions): Client<Paths> {
  const base = new URL(url, (globalThis as { location?: { href: string } }).location?.href).href.replace(/\/$/, '')
  const listeners = new Listeners<void>()
  const tokens = new TokenSource(token, () => {
    changes.close()
    listeners.tell()
  })
  const sender = new Sender(tokens, onWait)
  const changes = new Changes({
    url: base,
    tokens,
    connect(lastId, signal) {
      const headers = { accept: 'text/event-stream', ...(lastId !== undefined && { 'last-event-id': lastId }) }
      return sender.attempt(new Request(`${base}/api/events`, { headers, signal }))
    }
  })
  const api = createFetchClient<Paths>({ baseUrl: base, fetch: (request) => sender.send(request) })
  const resources = new Map<string, unknown>()
  let document: Promise<unknown> | undefined
  const service: Service = {
    // The paths are those of the resource, which the caller has chosen by its type.
    request: (api as unknown as Service).request,
    document() {
      // The browser keeps it, and asks by its `ETag` whether it is still the same.
      document ??= service.request('get', '/openapi.json', {}).then(({ data }) => data)
      document.catch(() => {
        document = undefined
      })
      return document
    },
    changes,
    now: () => tokens.now()
  }
  return {
    api,
    resource<P extends ResourcePath<Paths> & keyof Paths>(path: P) {
      const resource = resources.get(path) ?? new Resource(path, service)
      resources.set(path, resource)
      return resource as ResourceAt<Paths, P>
    },
    changes: () => changes,
    onSignedOut(listener) {
      if (tokens.ended) queueMicrotask(listener)
      return listeners.add(listener)
    },
    signOut() {
      changes.signOut()
      tokens.end()
    },
    close: () => changes.close()
  }
}
