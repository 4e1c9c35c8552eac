import type { FastifyInstance } from 'fastify'

/** A metric of the service (`plugins/metrics.ts`). It is read when it is scraped, so it costs a request nothing. */
export interface Metric {
  /** In Prometheus's convention: with its unit, and `_total` at the end of a counter. */
  name: string
  help: string
  kind: 'counter' | 'gauge'
  /** The value, or one for each value of `label`. The values of a label are few: never one for each user. */
  read(): number | Record<string, number>
  label?: string
}

declare module 'fastify' {
  interface FastifyInstance {
    /** The metrics of all plugins. */
    metrics: Metric[]
  }
}

/** Adds metrics to those of the application. Works in an application that has no plugin for metrics, too. */
export function addMetrics(app: FastifyInstance, ...metrics: Metric[]): void {
  if (!app.hasDecorator('metrics')) app.decorate('metrics', [])
  app.metrics.push(...metrics)
}
