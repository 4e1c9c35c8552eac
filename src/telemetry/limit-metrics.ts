import type { Limiter } from '../limits/limiter.ts'
import type { Metric } from './metrics.ts'

/** The metrics of the limits. */
export const limitMetrics = ({ refused }: Limiter, degraded: () => boolean): Metric[] => [
  {
    name: 'limited_total',
    help: 'Requests that were refused (429), by limit',
    kind: 'counter',
    label: 'limit',
    read: () => refused
  },
  {
    name: 'limits_degraded',
    help: 'Whether this instance counts alone, because Redis does not answer',
    kind: 'gauge',
    read: () => Number(degraded())
  }
]
