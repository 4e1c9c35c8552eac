import type { KeyStore } from '../auth/keys.ts'
import type { Verifier } from '../auth/verifier.ts'
import type { Waiters } from '../auth/waiters.ts'
import type { Metric } from './metrics.ts'

/** The metrics of the published keys. */
export const keyMetrics = (keys: KeyStore): Metric[] => [
  { name: 'keys', help: 'Published keys that the service holds', kind: 'gauge', read: () => keys.stats().held },
  {
    name: 'keys_age_seconds',
    help: 'Seconds since the keys were last fetched; meaningless without keys',
    kind: 'gauge',
    read: () => keys.stats().ageSeconds
  },
  {
    name: 'key_fetches_total',
    help: 'Fetches of the published keys',
    kind: 'counter',
    read: () => keys.stats().fetches
  },
  {
    name: 'key_fetch_failures_total',
    help: 'Fetches of the published keys that failed',
    kind: 'counter',
    read: () => keys.stats().failures
  }
]

/** The metrics of the verification of tokens. */
export const tokenMetrics = (verifier: Verifier, waiters: Waiters): Metric[] => [
  {
    name: 'tokens_total',
    help: 'Tokens that were cached (known), and tokens whose signature was checked (checked)',
    kind: 'counter',
    label: 'how',
    read: () => {
      const { hits, checks } = verifier.stats()
      return { known: hits, checked: checks }
    }
  },
  {
    name: 'tokens_remembered',
    help: 'Verified tokens in the cache',
    kind: 'gauge',
    read: () => verifier.stats().remembered
  },
  {
    name: 'key_waiters',
    help: 'Requests that wait for a fetch of the published keys',
    kind: 'gauge',
    read: () => waiters.count
  }
]
