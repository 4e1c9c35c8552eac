import type { FastifyInstance } from 'fastify'

/** A metric of the service (`plugins/metrics.ts`). It is read when Prometheus scrapes it, so a request pays nothing. */
export interface Metric {
  /** The name by Prometheus's convention: it includes the unit, and a counter ends with `_total`. */
  name: string
  help: string
  kind: 'counter' | 'gauge'
  /** Returns the value, or one for each value of `label`. A label has few values: never one for each user. */
  read(): number | Record<string, number>
  label?: string
}

declare module 'fastify' {
  interface FastifyInstance {
    /** The metrics of all plugins. */
    metrics: Metric[]
  }
}

/** Adds metrics to the application. It also works in an application without the plugin for metrics. */
export function addMetrics(app: FastifyInstance, ...metrics: Metric[]): void {
  if (!app.hasDecorator('metrics')) app.decorate('metrics', [])
  app.metrics.push(...metrics)
}
