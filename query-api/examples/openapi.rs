//! Prints the OpenAPI document of the REST routes; `tools/openapi` writes it to where it is checked in.

fn main() {
    print!("{}", query_api::openapi());
}
