import type { Server } from 'node:http'
import type { FastifyInstance } from 'fastify'

/**
 * A number that operators see (`plugins/metrics.ts`). It is read when they look, so keeping it costs a request nothing.
 */
export interface Figure {
  /** As Prometheus wants names: with its unit, and `_total` at the end of a counter. */
  name: string
  help: string
  kind: 'counter' | 'gauge'
  /** The number; or one for each value of `label`. Never by user: the values must be few. */
  read(): number | Record<string, number>
  label?: string
}

const known = new WeakMap<Server, Figure[]>()

/** The figures of an application, from whichever of its contexts it is asked. */
export function figuresOf({ server }: FastifyInstance): Figure[] {
  const figures = known.get(server) ?? []
  known.set(server, figures)
  return figures
}
