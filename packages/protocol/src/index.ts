export * from './entry/index.js'
