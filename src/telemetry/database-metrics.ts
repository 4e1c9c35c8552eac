import type { Metric } from './metrics.ts'

/** The metrics of the connections to the database. */
export const databaseMetrics = (
  load: () => { pending: number; queued: number; busy: number; idle: number }
): Metric[] => [
  {
    name: 'database_pending',
    help: 'Statements and transactions that the database has not answered yet',
    kind: 'gauge',
    read: () => load().pending
  },
  {
    name: 'database_queued',
    help: 'Statements and transactions that wait for a connection, of those that are pending',
    kind: 'gauge',
    read: () => load().queued
  },
  {
    name: 'database_connections',
    help: 'Connections by whether they have something to do; those that are not made yet are idle',
    kind: 'gauge',
    label: 'state',
    read() {
      const { busy, idle } = load()
      return { busy, idle }
    }
  }
]
