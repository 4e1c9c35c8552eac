import { METHODS } from 'node:http'
import type { RouteOptions } from 'fastify'
import findMyWay from 'find-my-way'

type Methods = Set<string>

/**
 * The methods that each path answers. Fastify's router knows a path only together with a method, so a router of paths
 * stands beside it.
 */
export class AllowedMethods {
  readonly #byPath = new Map<string, Methods>()
  readonly #router = findMyWay({ ignoreTrailingSlash: true, defaultRoute: () => undefined })

  /** Adds a route. A path with a wildcard is left out: it belongs to files. */
  add({ url, method }: Pick<RouteOptions, 'url' | 'method'>): void {
    if (url.includes('*')) return
    const path = url.replace(/(?<=.)\/$/, '')
    const known = this.#byPath.get(path)
    const methods: Methods = known ?? new Set(['OPTIONS'])
    for (const one of [method].flat()) methods.add(one)
    if (known !== undefined) return
    this.#byPath.set(path, methods)
    this.#router.on('GET', path, () => methods)
  }

  /** The value of `Allow` for a URL (RFC 9110 section 10.2.1), or undefined when no route has its path. */
  of(url: string): string | undefined {
    // `lookup` needs no more of a request, and no response.
    const methods = this.#router.lookup({ method: 'GET', url } as never, undefined as never) as
      | Methods
      | undefined
      | null
    return methods ? METHODS.filter((one) => methods.has(one)).join(', ') : undefined
  }
}
