# cmake -DOUT=library_data.c -DROOT=graphs/std -P embed.cmake: the library's files as C arrays.
file(GLOB files RELATIVE ${ROOT} ${ROOT}/*.yaml ${ROOT}/metrics/*.yaml)
list(SORT files)
set(arrays "")
set(rows "")
foreach(f ${files})
    file(READ ${ROOT}/${f} hex HEX)
    string(LENGTH "${hex}" digits)
    math(EXPR nbytes "${digits} / 2")
    string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${hex}")
    string(REGEX REPLACE "((0x[0-9a-f][0-9a-f],){16})" "\\1\n" bytes "${bytes}")
    string(MAKE_C_IDENTIFIER ${f} id)
    string(APPEND arrays "static const unsigned char ${id}[] = {\n${bytes}0};\n")
    string(APPEND rows "    {\"std/${f}\", ${id}, ${nbytes}},\n")
endforeach()
file(WRITE ${OUT} "/* Generated from graphs/std/ by compiler/front/embed.cmake. */
#include \"compiler/front/library.h\"

${arrays}
const struct library_file library_file[] = {
${rows}    {0, 0, 0}};
")
