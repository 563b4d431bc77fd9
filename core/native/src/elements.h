// Chemical symbols.
#pragma once

namespace mlffd {

// Of the elements 1 … 118; "" for any other number.
const char* element_symbol(int atomic_number);

}  // namespace mlffd
